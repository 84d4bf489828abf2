// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the parts of the Rust gntdev that need no hypervisor.
//!
//! A crate of its own, with the same source files, so that it can be loaded where there is no Xen.

#[path = "../rust"]
mod xen {
    #[allow(dead_code)]
    pub(crate) mod bindings;
    pub(crate) mod buffer_segment;
    pub(crate) mod copy_operation;
    #[allow(dead_code)]
    pub(crate) mod direction;
    #[allow(dead_code)]
    pub(crate) mod grant_operation;
    pub(crate) mod maple_tree;
    pub(crate) mod unmap_operations;
}

mod copy_plan;
mod descriptor_index;
mod dmabuf_layout;
mod limits;
mod region_index;
mod release_event;

use kernel::prelude::*;

module! {
    type: GntdevKunitModule,
    name: "xen_gntdev_rust_kunit",
    authors: ["The Rust gntdev maintainers"],
    description: "KUnit tests of the Rust gntdev",
    license: "GPL",
}

/// Nothing to keep: KUnit runs the suites of a module when it is loaded.
struct GntdevKunitModule;

impl kernel::Module for GntdevKunitModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

#[kunit_tests(xen_gntdev_limits)]
mod limits_tests {
    use crate::limits::{
        check_count,
        DEFAULT_LIMIT, //
    };
    use kernel::prelude::*;

    #[test]
    fn no_grant_is_invalid() {
        assert_eq!(check_count(0, DEFAULT_LIMIT), Err(EINVAL));
    }

    #[test]
    fn one_to_the_limit_are_allowed() {
        assert_eq!(check_count(1, DEFAULT_LIMIT), Ok(1));
        assert_eq!(check_count(DEFAULT_LIMIT, DEFAULT_LIMIT), Ok(64 * 1024));
    }

    #[test]
    fn more_than_the_limit_is_invalid() {
        assert_eq!(check_count(DEFAULT_LIMIT + 1, DEFAULT_LIMIT), Err(EINVAL));
        assert_eq!(check_count(1 << 31, DEFAULT_LIMIT), Err(EINVAL));
        assert_eq!(check_count(u32::MAX, DEFAULT_LIMIT), Err(EINVAL));
    }

    #[test]
    fn the_administrator_can_allow_none_and_all() {
        assert_eq!(check_count(1, 0), Err(EINVAL));
        assert_eq!(check_count(u32::MAX, u32::MAX), Ok(u32::MAX as usize));
    }
}

#[kunit_tests(xen_gntdev_region_index)]
mod region_index_tests {
    use crate::region_index::RegionIndex;
    use kernel::{
        prelude::*,
        sync::Arc, //
    };

    fn index() -> Result<Pin<KBox<RegionIndex<usize>>>> {
        KBox::pin_init(RegionIndex::new(), GFP_KERNEL)
    }

    fn region(name: usize) -> Result<Arc<usize>> {
        Ok(Arc::new(name, GFP_KERNEL)?)
    }

    #[test]
    fn the_first_region_is_at_zero() -> Result {
        assert_eq!(index()?.insert(region(1)?, 5)?, 0);
        Ok(())
    }

    #[test]
    fn regions_do_not_overlap() -> Result {
        let index = index()?;
        let mut expected = 0;
        for pages in 1..=64 {
            assert_eq!(index.insert(region(pages)?, pages)?, expected);
            expected += pages;
        }
        Ok(())
    }

    #[test]
    fn a_region_is_found_at_its_first_page_only() -> Result {
        let index = index()?;
        index.insert(region(1)?, 3)?;
        index.insert(region(2)?, 4)?;
        assert_eq!(index.get(3, None).map(|found| *found), Some(2));
        for page in [1, 2, 4, 5, 6, 7, usize::MAX] {
            assert!(index.get(page, None).is_none());
        }
        Ok(())
    }

    #[test]
    fn a_count_must_be_that_of_the_region() -> Result {
        let index = index()?;
        index.insert(region(1)?, 3)?;
        assert!(index.get(0, Some(3)).is_some());
        for count in [0, 1, 2, 4, usize::MAX] {
            assert!(index.get(0, Some(count)).is_none());
            assert!(index.remove(0, Some(count)).is_none());
        }
        Ok(())
    }

    #[test]
    fn a_removed_region_is_gone_and_its_range_free() -> Result {
        let index = index()?;
        index.insert(region(1)?, 2)?;
        index.insert(region(2)?, 2)?;
        index.insert(region(3)?, 2)?;
        assert_eq!(index.remove(2, Some(2)).map(|found| *found), Some(2));
        assert!(index.get(2, None).is_none());
        assert!(index.remove(2, Some(2)).is_none());
        assert_eq!(index.insert(region(4)?, 3)?, 6);
        assert_eq!(index.insert(region(5)?, 2)?, 2);
        Ok(())
    }

    #[test]
    fn another_region_at_the_place_is_not_removed() -> Result {
        let index = index()?;
        let first = region(1)?;
        index.insert(first.clone(), 1)?;
        assert!(index.remove(0, None).is_some());
        index.insert(region(2)?, 1)?;
        assert!(index.remove_region(0, &first).is_none());
        assert_eq!(index.get(0, None).map(|found| *found), Some(2));
        Ok(())
    }

    #[test]
    fn every_page_of_a_region_leads_to_it() -> Result {
        let index = index()?;
        index.insert(region(1)?, 3)?;
        index.insert(region(2)?, 2)?;
        for (page, expected) in [(0, (0, 1)), (2, (0, 1)), (3, (3, 2)), (4, (3, 2))] {
            let found = index.get_containing(page);
            assert_eq!(
                found.map(|(first, region)| (first, *region)),
                Some(expected)
            );
        }
        assert!(index.get_containing(5).is_none());
        assert!(index.get_containing(usize::MAX).is_none());
        Ok(())
    }

    #[test]
    fn regions_are_listed_in_order() -> Result {
        let index = index()?;
        for name in 0..5 {
            index.insert(region(name)?, 10)?;
        }
        index.remove(20, None);
        for (page, expected) in [(0, (0, 0)), (1, (10, 1)), (10, (10, 1)), (11, (30, 3))] {
            let found = index.next_from(page);
            assert_eq!(
                found.map(|(first, region)| (first, *region)),
                Some(expected)
            );
        }
        assert!(index.next_from(41).is_none());
        Ok(())
    }

    #[test]
    fn no_pages_are_invalid() -> Result {
        assert_eq!(index()?.insert(region(1)?, 0), Err(EINVAL));
        Ok(())
    }

    #[test]
    fn more_pages_than_offsets_do_not_fit() -> Result {
        let index = index()?;
        assert!(index.insert(region(1)?, usize::MAX).is_err());
        assert!(index
            .insert(region(1)?, (i64::MAX as usize >> 12) + 2)
            .is_err());
        assert_eq!(index.insert(region(2)?, 1)?, 0);
        Ok(())
    }

    #[test]
    fn huge_regions_fill_the_offsets() -> Result {
        let index = index()?;
        let half = (i64::MAX as usize >> 12).div_ceil(2);
        assert_eq!(index.insert(region(1)?, half)?, 0);
        assert_eq!(index.insert(region(2)?, half)?, half);
        assert_eq!(index.insert(region(3)?, 1), Err(ENOMEM));
        assert!(index.remove(0, Some(half)).is_some());
        assert_eq!(index.insert(region(3)?, 1)?, 0);
        Ok(())
    }

    #[test]
    fn four_thousand_regions_are_told_apart() -> Result {
        let index = index()?;
        for name in 0..4000 {
            assert_eq!(index.insert(region(name)?, 2)?, 2 * name);
        }
        for name in (0..4000).step_by(3) {
            assert_eq!(
                index.remove(2 * name, Some(2)).map(|found| *found),
                Some(name)
            );
        }
        for name in 0..4000 {
            let found = index.get(2 * name, Some(2)).map(|found| *found);
            assert_eq!(found, (name % 3 != 0).then_some(name));
        }
        Ok(())
    }

    /// What is left when there is no memory to free the range.
    #[test]
    fn a_region_is_gone_although_its_range_stays() -> Result {
        let index = index()?;
        let removed = region(2)?;
        index.insert(region(1)?, 2)?;
        index.insert(removed.clone(), 3)?;
        index.insert(region(3)?, 2)?;
        assert!(index.vacate(2, Some(4), |_| true).is_none());
        assert!(index.vacate(2, None, |_| false).is_none());
        let found = index.vacate(2, Some(3), |_| true);
        assert_eq!(found.map(|found| *found), Some(2));

        assert!(index.get(2, None).is_none());
        assert!(index.get(2, Some(3)).is_none());
        assert!(index.get_containing(3).is_none());
        let next = index.next_from(1);
        assert_eq!(next.map(|(first, region)| (first, *region)), Some((5, 3)));
        assert!(index.remove(2, None).is_none());
        assert!(index.remove_region(2, &removed).is_none());
        assert_eq!(index.insert(region(4)?, 1)?, 7);
        drop(index);
        assert!(Arc::into_unique_or_drop(removed).is_some());
        Ok(())
    }

    #[test]
    fn an_index_drops_its_regions() -> Result {
        let kept = region(7)?;
        {
            let index = index()?;
            for _ in 0..100 {
                index.insert(kept.clone(), 1)?;
            }
        }
        assert!(Arc::into_unique_or_drop(kept).is_some());
        Ok(())
    }
}

#[kunit_tests(xen_gntdev_maple_tree)]
mod maple_tree_tests {
    use crate::xen::maple_tree::SharedMapleTree;
    use kernel::{
        prelude::*,
        sync::Arc, //
    };

    #[test]
    fn an_erased_entry_comes_back_once() -> Result {
        let tree = KBox::pin_init(SharedMapleTree::<Arc<usize>>::new(), GFP_KERNEL)?;
        let entry = Arc::new(7, GFP_KERNEL)?;
        for expected in [0, 3] {
            let first = tree.alloc_range(3, entry.clone(), ..100, GFP_KERNEL);
            assert_eq!(first.map_err(Error::from)?, expected);
        }
        assert_eq!(tree.erase(2)?.map(|found| *found), Some(7));
        assert!(tree.lock().load(0).is_none());
        assert!(tree.lock().load(3).is_some());
        for index in [0, 1, 2, 6, usize::MAX] {
            assert!(tree.erase(index)?.is_none());
        }
        assert!(tree.erase(5)?.is_some());
        drop(tree);
        assert!(Arc::into_unique_or_drop(entry).is_some());
        Ok(())
    }
}

#[kunit_tests(xen_gntdev_grant_operation)]
mod grant_operation_tests {
    use crate::xen::{
        bindings,
        grant_operation::{
            is_mapped,
            map_operation,
            settle_unmap,
            succeeded,
            unmap_operation,
            Access,
            GrantReference,
            Target, //
        },
    };
    use kernel::prelude::*;

    const GRANT: GrantReference = GrantReference {
        domain: 7,
        reference: 0x1234_5678,
    };

    #[test]
    fn a_domain_has_sixteen_bits() {
        assert_eq!(
            GrantReference::from_user(0xffff, u32::MAX),
            Ok(GrantReference {
                domain: 0xffff,
                reference: u32::MAX,
            })
        );
        assert_eq!(GrantReference::from_user(0x1_0000, 8), Err(EINVAL));
        assert_eq!(GrantReference::from_user(u32::MAX, 8), Err(EINVAL));
    }

    #[test]
    fn a_kernel_mapping_names_the_address_and_the_grant() {
        let map = map_operation(GRANT, Target::Kernel(0xabc_d000), Access::ReadWrite);
        assert_eq!(map.host_addr, 0xabc_d000);
        assert_eq!(map.dom, 7);
        assert_eq!(map.ref_, 0x1234_5678);
        assert_eq!(map.flags, bindings::GNTMAP_host_map);
    }

    #[test]
    fn no_kernel_mapping_is_for_a_device() {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let map = map_operation(GRANT, Target::Kernel(0x1000), access);
            assert_eq!(map.flags & bindings::GNTMAP_device_map, 0);
        }
    }

    #[test]
    fn read_only_is_asked_for() {
        let map = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadOnly);
        assert_eq!(
            map.flags,
            bindings::GNTMAP_host_map | bindings::GNTMAP_readonly
        );
    }

    #[test]
    fn a_user_mapping_names_a_special_page_table_entry() {
        let map = map_operation(GRANT, Target::UserPageTableEntry(0x5008), Access::ReadOnly);
        assert_eq!(map.host_addr, 0x5008);
        assert_eq!(
            map.flags,
            bindings::GNTMAP_host_map
                | bindings::GNTMAP_readonly
                | bindings::GNTMAP_application_map
                | bindings::GNTMAP_contains_pte
                | 1 << bindings::_GNTMAP_guest_avail0
        );
    }

    #[test]
    fn an_unanswered_operation_did_not_succeed() {
        let map = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        assert!(!succeeded(&map));
        assert!(!is_mapped(&unmap_operation(&map)));
    }

    #[test]
    fn a_refused_operation_has_no_handle() {
        let mut map = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        map.handle = 5;
        map.status = bindings::GNTST_bad_gntref as i16;
        assert!(!succeeded(&map));
        assert!(!is_mapped(&unmap_operation(&map)));
    }

    #[test]
    fn an_unmap_undoes_what_was_answered() {
        let mut map = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        map.handle = 5;
        map.status = bindings::GNTST_okay as i16;
        map.dev_bus_addr = 0x9000;
        let mut unmap = unmap_operation(&map);
        assert!(succeeded(&map));
        assert!(is_mapped(&unmap));
        assert_eq!(unmap.host_addr, 0x1000);
        assert_eq!(unmap.handle, 5);
        assert_eq!(unmap.dev_bus_addr, 0);
        assert!(!settle_unmap(&mut unmap));
        assert!(is_mapped(&unmap));
        unmap.status = bindings::GNTST_okay as i16;
        assert!(settle_unmap(&mut unmap));
        assert!(!is_mapped(&unmap));
    }
}

#[kunit_tests(xen_gntdev_unmap_operations)]
mod unmap_operations_tests {
    use crate::xen::{
        bindings,
        grant_operation::{
            map_operation,
            settle_unmaps,
            Access,
            GrantReference,
            Target, //
        },
        unmap_operations::UnmapOperations,
    };
    use core::ops::Range;
    use kernel::prelude::*;

    const GRANT: GrantReference = GrantReference {
        domain: 7,
        reference: 1,
    };

    /// Eight operations, of which those in `mapped` have a grant mapped, with their index as
    /// the handle.
    fn operations(mapped: &[usize]) -> Result<UnmapOperations> {
        let mut map = KVec::with_capacity(8, GFP_KERNEL)?;
        for index in 0..8 {
            let mut operation = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
            operation.handle = index as u32;
            operation.status = if mapped.contains(&index) {
                bindings::GNTST_okay as i16
            } else {
                bindings::GNTST_bad_gntref as i16
            };
            map.push_within_capacity(operation)?;
        }
        let mut operations = UnmapOperations::with_capacity(8)?;
        assert_eq!(operations.add(&map)?, mapped.len() == 8);
        assert_eq!(operations.len(), 8);
        assert_eq!(operations.any_mapped(), !mapped.is_empty());
        Ok(operations)
    }

    /// The hypervisor's answer to the unmapping of all but `refused`. Returns how many these are.
    fn answer(operations: &mut [bindings::gnttab_unmap_grant_ref], refused: &[usize]) -> usize {
        for operation in operations.iter_mut() {
            operation.status = if refused.contains(&(operation.handle as usize)) {
                bindings::GNTST_bad_handle as i16
            } else {
                bindings::GNTST_okay as i16
            };
        }
        settle_unmaps(operations)
    }

    /// Start and end of each run that is found among eight operations, of which those in `mapped`
    /// are mapped.
    fn runs(mapped: &[usize], range: Range<usize>) -> Result<KVec<(usize, usize)>> {
        let mut runs = KVec::new();
        let mut result = Ok(());
        operations(mapped)?.for_each_mapped_run(range, |run, operations| {
            assert_eq!(run.len(), operations.len());
            assert_eq!(run.start, operations[0].handle as usize);
            if let Err(error) = runs.push((run.start, run.end), GFP_KERNEL) {
                result = Err(error.into());
            }
            answer(operations, &[])
        });
        result.map(|()| runs)
    }

    #[test]
    fn there_is_no_room_for_more() -> Result {
        let mut operations = operations(&[])?;
        let more = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        assert_eq!(operations.add(&[more]), Err(ENOSPC));
        Ok(())
    }

    #[test]
    fn what_was_unmapped_is_not_unmapped_again() -> Result {
        let mut operations = operations(&[0, 1, 2, 3, 4, 5, 6, 7])?;
        operations.for_each_mapped_run(2..5, |_, operations| answer(operations, &[]));
        assert!(operations.any_mapped());
        assert!(operations.is_mapped(1));
        assert!(!operations.is_mapped(2));
        assert!(!operations.is_mapped(8));
        let mut calls = 0;
        operations.for_each_mapped_run(0..8, |run, operations| {
            assert!(run == (0..2) || run == (5..8));
            calls += 1;
            answer(operations, &[])
        });
        assert_eq!(calls, 2);
        assert!(!operations.any_mapped());
        operations.for_each_mapped_run(0..8, |_, operations| {
            calls += 1;
            answer(operations, &[])
        });
        assert_eq!(calls, 2);
        Ok(())
    }

    #[test]
    fn what_was_refused_is_still_mapped() -> Result {
        let mut operations = operations(&[0, 1, 2])?;
        operations.for_each_mapped_run(0..8, |_, operations| answer(operations, &[1]));
        assert!(operations.any_mapped());
        assert!(operations.is_mapped(1));
        assert!(!operations.is_mapped(0));
        operations.for_each_mapped_run(0..8, |run, operations| {
            assert_eq!(run, 1..2);
            answer(operations, &[])
        });
        assert!(!operations.any_mapped());
        Ok(())
    }

    #[test]
    fn all_mapped_are_one_run() -> Result {
        assert_eq!(runs(&[0, 1, 2, 3, 4, 5, 6, 7], 0..8)?.as_slice(), &[(0, 8)]);
        Ok(())
    }

    #[test]
    fn holes_separate_runs() -> Result {
        let found = runs(&[0, 2, 3, 7], 0..8)?;
        assert_eq!(found.as_slice(), &[(0, 1), (2, 4), (7, 8)]);
        Ok(())
    }

    #[test]
    fn a_range_cuts_runs() -> Result {
        assert_eq!(runs(&[1, 2, 3, 4, 5], 2..4)?.as_slice(), &[(2, 4)]);
        assert_eq!(runs(&[0, 1, 6], 1..6)?.as_slice(), &[(1, 2)]);
        Ok(())
    }

    #[test]
    fn nothing_mapped_is_no_run() -> Result {
        assert!(runs(&[], 0..8)?.is_empty());
        assert!(runs(&[0, 7], 1..7)?.is_empty());
        assert!(runs(&[0, 1], 4..4)?.is_empty());
        assert!(runs(&[0, 1], 20..30)?.is_empty());
        Ok(())
    }

    /// As [`runs`], of those that are not in `busy`, and whether these were all.
    fn free_runs(mapped: &[usize], busy: &[usize]) -> Result<(KVec<(usize, usize)>, bool)> {
        let mut runs = KVec::new();
        let mut result = Ok(());
        let all = operations(mapped)?.for_each_free_run(
            0..8,
            |index| !busy.contains(&index),
            |run, operations| {
                assert_eq!(run.len(), operations.len());
                assert_eq!(run.start, operations[0].handle as usize);
                if let Err(error) = runs.push((run.start, run.end), GFP_KERNEL) {
                    result = Err(error.into());
                }
                answer(operations, &[])
            },
        );
        result.map(|()| (runs, all))
    }

    #[test]
    fn a_busy_one_does_not_keep_its_neighbours() -> Result {
        let (runs, all) = free_runs(&[0, 1, 2, 3, 4, 5, 6, 7], &[2])?;
        assert_eq!(runs.as_slice(), &[(0, 2), (3, 8)]);
        assert!(!all);
        let (runs, all) = free_runs(&[0, 1, 3, 4, 7], &[0, 4, 7])?;
        assert_eq!(runs.as_slice(), &[(1, 2), (3, 4)]);
        assert!(!all);
        let (runs, all) = free_runs(&[2, 3], &[2, 3])?;
        assert!(runs.is_empty());
        assert!(!all);
        Ok(())
    }

    #[test]
    fn what_is_not_mapped_is_not_busy() -> Result {
        let (runs, all) = free_runs(&[0, 1, 5], &[2, 3, 7])?;
        assert_eq!(runs.as_slice(), &[(0, 2), (5, 6)]);
        assert!(all);
        let (runs, all) = free_runs(&[], &[0, 1])?;
        assert!(runs.is_empty());
        assert!(all);
        Ok(())
    }
}

#[kunit_tests(xen_gntdev_copy_operation)]
mod copy_operation_tests {
    use crate::xen::{
        bindings,
        copy_operation::{
            copy_operation,
            CopyEnd,
            Segment,
            SegmentEnd, //
        },
        grant_operation::GrantReference,
    };
    use kernel::prelude::*;

    const GRANT: GrantReference = GrantReference {
        domain: 7,
        reference: 0x1234_5678,
    };
    const LOCAL: SegmentEnd = SegmentEnd::Local(0x7000_1234);

    fn grant(offset: u16) -> SegmentEnd {
        SegmentEnd::Grant(GRANT, offset)
    }

    fn check(source: SegmentEnd, destination: SegmentEnd, length: usize) -> Result {
        Segment {
            source,
            destination,
            length,
        }
        .check()
    }

    #[test]
    fn flags_tell_which_end_is_a_grant() {
        let mut raw = bindings::gntdev_grant_copy_segment::default();
        raw.source.foreign.ref_ = 0x1234_5678;
        raw.source.foreign.offset = 9;
        raw.source.foreign.domid = 7;
        raw.dest.virt = core::ptr::without_provenance_mut(0x7000_1234);
        raw.len = 100;
        raw.flags = bindings::GNTCOPY_source_gref as u16;
        assert_eq!(
            Segment::from_user(&raw),
            Segment {
                source: grant(9),
                destination: LOCAL,
                length: 100,
            }
        );
        raw.flags = bindings::GNTCOPY_dest_gref as u16;
        let swapped = Segment::from_user(&raw);
        assert!(matches!(swapped.source, SegmentEnd::Local(_)));
        assert!(matches!(swapped.destination, SegmentEnd::Grant(..)));
    }

    #[test]
    fn two_local_ends_are_invalid() {
        assert_eq!(check(LOCAL, LOCAL, 1), Err(EINVAL));
        assert_eq!(check(LOCAL, LOCAL, 0), Err(EINVAL));
        assert_eq!(check(LOCAL, grant(0), 1), Ok(()));
        assert_eq!(check(grant(0), LOCAL, 1), Ok(()));
        assert_eq!(check(grant(0), grant(0), 1), Ok(()));
    }

    #[test]
    fn a_granted_page_must_not_be_crossed() {
        for (offset, length, expected) in [
            (0, 4096, Ok(())),
            (4095, 1, Ok(())),
            (4096, 0, Ok(())),
            (0, 4097, Err(EINVAL)),
            (1, 4096, Err(EINVAL)),
            (4096, 1, Err(EINVAL)),
            (u16::MAX, 0, Err(EINVAL)),
            (u16::MAX, 65535, Err(EINVAL)),
        ] {
            assert_eq!(check(grant(offset), LOCAL, length), expected);
            assert_eq!(check(LOCAL, grant(offset), length), expected);
            assert_eq!(check(grant(0), grant(offset), length), expected);
        }
    }

    #[test]
    fn an_operation_names_both_ends() {
        let operation = copy_operation(CopyEnd::Frame(0x9_abcd, 17), CopyEnd::Grant(GRANT, 18), 64);
        assert_eq!(u32::from(operation.flags), bindings::GNTCOPY_dest_gref);
        assert_eq!(operation.len, 64);
        assert_eq!(u32::from(operation.source.domid), bindings::DOMID_SELF);
        assert_eq!((operation.source.offset, operation.dest.offset), (17, 18));
        assert_eq!(operation.dest.domid, 7);

        let operation = copy_operation(CopyEnd::Grant(GRANT, 1), CopyEnd::Grant(GRANT, 2), 3);
        assert_eq!(
            u32::from(operation.flags),
            bindings::GNTCOPY_source_gref | bindings::GNTCOPY_dest_gref
        );
        let operation = copy_operation(CopyEnd::Grant(GRANT, 1), CopyEnd::Frame(5, 2), 3);
        assert_eq!(u32::from(operation.flags), bindings::GNTCOPY_source_gref);
    }
}

#[kunit_tests(xen_gntdev_copy_plan)]
mod copy_plan_tests {
    use crate::{
        copy_plan::{
            segment_status,
            Plan,
            Run,
            Runs, //
        },
        xen::{
            copy_operation::{
                Segment,
                SegmentEnd, //
            },
            grant_operation::GrantReference,
        },
    };
    use kernel::{
        page::PAGE_SIZE,
        prelude::*, //
    };

    fn run(first: usize, count: usize) -> Option<Run> {
        Some(Run { first, count })
    }

    #[test]
    fn adjacent_pages_are_one_run() -> Result {
        let mut runs = Runs::default();
        for page in 5..9 {
            let (index, ended) = runs.add(page * PAGE_SIZE, PAGE_SIZE)?;
            assert_eq!((index, ended), (page - 5, None));
        }
        assert_eq!(runs.finish(), run(5, 4));
        assert_eq!(runs.finish(), None);
        Ok(())
    }

    #[test]
    fn a_page_is_in_a_run_once() -> Result {
        let mut runs = Runs::default();
        assert_eq!(runs.add(5 * PAGE_SIZE, 1)?, (0, None));
        assert_eq!(runs.add(5 * PAGE_SIZE + 7, 1)?, (0, None));
        assert_eq!(runs.add(6 * PAGE_SIZE - 1, 2)?, (0, None));
        assert_eq!(runs.add(6 * PAGE_SIZE, 1)?, (1, None));
        assert_eq!(runs.add(5 * PAGE_SIZE, 1)?, (0, None));
        assert_eq!(runs.finish(), run(5, 2));
        Ok(())
    }

    #[test]
    fn holes_and_steps_back_end_a_run() -> Result {
        let mut runs = Runs::default();
        assert_eq!(runs.add(5 * PAGE_SIZE, 2 * PAGE_SIZE)?, (0, None));
        assert_eq!(runs.add(8 * PAGE_SIZE, 1)?, (2, run(5, 2)));
        assert_eq!(runs.add(7 * PAGE_SIZE, PAGE_SIZE + 1)?, (3, run(8, 1)));
        assert_eq!(runs.finish(), run(7, 2));
        Ok(())
    }

    #[test]
    fn no_bytes_lie_beyond_the_last_address() -> Result {
        let mut runs = Runs::default();
        assert_eq!(runs.add(usize::MAX, 2), Err(EFAULT));
        assert_eq!(runs.add(usize::MAX - 4094, 4096), Err(EFAULT));
        assert_eq!(runs.finish(), None);
        assert_eq!(runs.add(usize::MAX, 1)?, (0, None));
        Ok(())
    }

    const GRANT: GrantReference = GrantReference {
        domain: 7,
        reference: 3,
    };

    /// Source offset, destination offset and length of each operation.
    fn split(
        source: SegmentEnd,
        destination: SegmentEnd,
        length: usize,
    ) -> Result<KVec<(u16, u16, u16)>> {
        let plan = Plan {
            segment: Segment {
                source,
                destination,
                length,
            },
            source_page: 10,
            destination_page: 20,
        };
        let mut pieces = KVec::new();
        let count = plan.split(
            |page| (10..12).contains(&page).then_some(page as u64),
            |page| (20..22).contains(&page).then_some(page as u64),
            |piece| {
                let piece = (piece.source.offset, piece.dest.offset, piece.len);
                Ok(pieces.push(piece, GFP_KERNEL)?)
            },
        )?;
        assert_eq!(count, pieces.len());
        Ok(pieces)
    }

    #[test]
    fn a_segment_within_a_page_is_one_operation() -> Result {
        let local = SegmentEnd::Local(0x7000_0100);
        let grant = SegmentEnd::Grant(GRANT, 0x200);
        assert_eq!(split(local, grant, 64)?.as_slice(), &[(0x100, 0x200, 64)]);
        assert_eq!(split(grant, local, 64)?.as_slice(), &[(0x200, 0x100, 64)]);
        assert_eq!(split(grant, grant, 64)?.as_slice(), &[(0x200, 0x200, 64)]);
        Ok(())
    }

    #[test]
    fn a_local_end_that_crosses_pages_is_cut() -> Result {
        let local = SegmentEnd::Local(0x7000_0f00);
        let grant = SegmentEnd::Grant(GRANT, 0x20);
        assert_eq!(
            split(local, grant, 0x180)?.as_slice(),
            &[(0xf00, 0x20, 0x100), (0, 0x120, 0x80)]
        );
        assert_eq!(
            split(grant, local, 0x180)?.as_slice(),
            &[(0x20, 0xf00, 0x100), (0x120, 0, 0x80)]
        );
        assert_eq!(split(local, grant, 0x100)?.len(), 1);
        Ok(())
    }

    #[test]
    fn no_bytes_are_no_operation() -> Result {
        let local = SegmentEnd::Local(0x7000_0000);
        let grant = SegmentEnd::Grant(GRANT, 0);
        assert!(split(local, grant, 0)?.is_empty());
        Ok(())
    }

    #[test]
    fn a_page_that_is_not_pinned_is_a_fault() -> Result {
        let plan = Plan {
            segment: Segment {
                source: SegmentEnd::Local(0x7000_0f00),
                destination: SegmentEnd::Grant(GRANT, 0),
                length: 0x180,
            },
            source_page: 0,
            destination_page: 0,
        };
        let result = plan.split(|page| (page == 0).then_some(1), |_| None, |_| Ok(()));
        assert_eq!(result, Err(EFAULT));
        Ok(())
    }

    #[test]
    fn the_first_failure_is_the_status() {
        assert_eq!(segment_status([].into_iter()), 0);
        assert_eq!(segment_status([0, 0].into_iter()), 0);
        assert_eq!(segment_status([0, -3].into_iter()), -3);
        assert_eq!(segment_status([-3, 0].into_iter()), -3);
        assert_eq!(segment_status([0, -8, -3].into_iter()), -8);
    }

    #[test]
    fn a_status_takes_no_operation_of_the_next_segment() {
        let mut operations = [-3, 0, -8, 0].into_iter();
        assert_eq!(segment_status(operations.by_ref().take(2)), -3);
        assert_eq!(segment_status(operations.by_ref().take(1)), -8);
        assert_eq!(segment_status(operations.by_ref().take(1)), 0);
    }
}

#[kunit_tests(xen_gntdev_descriptor_index)]
mod descriptor_index_tests {
    use crate::descriptor_index::{
        DescriptorIndex,
        Key,
        Room, //
    };
    use kernel::prelude::*;

    fn insert(index: &mut DescriptorIndex<u32>, descriptor: u32, value: u32) -> Result<Key> {
        Ok(index.insert(Room::new()?, descriptor, value))
    }

    fn newest(index: &DescriptorIndex<u32>, descriptor: u32) -> Option<u32> {
        index.newest(descriptor).map(|(_, value)| *value)
    }

    #[test]
    fn an_empty_index_has_nothing() {
        let mut index = DescriptorIndex::<u32>::new();
        for descriptor in [0, 3, i32::MAX as u32, u32::MAX] {
            assert!(index.newest(descriptor).is_none());
            assert!(index.take_newest(descriptor).is_none());
        }
    }

    #[test]
    fn a_number_does_not_find_its_neighbours() -> Result {
        let mut index = DescriptorIndex::new();
        insert(&mut index, 4, 40)?;
        insert(&mut index, 6, 60)?;
        assert_eq!(newest(&index, 3), None);
        assert_eq!(newest(&index, 4), Some(40));
        assert_eq!(newest(&index, 5), None);
        assert_eq!(newest(&index, 6), Some(60));
        assert_eq!(newest(&index, 7), None);
        Ok(())
    }

    #[test]
    fn the_newest_of_a_number_counts() -> Result {
        let mut index = DescriptorIndex::new();
        for value in 1..=10 {
            insert(&mut index, 5, value)?;
            assert_eq!(newest(&index, 5), Some(value));
        }
        for value in (1..=10).rev() {
            assert_eq!(index.take_newest(5), Some(value));
        }
        assert_eq!(index.take_newest(5), None);
        Ok(())
    }

    #[test]
    fn an_older_one_can_go_first() -> Result {
        let mut index = DescriptorIndex::new();
        let old = insert(&mut index, 5, 1)?;
        let new = insert(&mut index, 5, 2)?;
        assert_eq!(index.remove(old), Some(1));
        assert_eq!(newest(&index, 5), Some(2));
        assert_eq!(index.remove(new), Some(2));
        assert_eq!(newest(&index, 5), None);
        Ok(())
    }

    #[test]
    fn when_the_newest_goes_the_older_one_counts() -> Result {
        let mut index = DescriptorIndex::new();
        insert(&mut index, 5, 1)?;
        let new = insert(&mut index, 5, 2)?;
        assert_eq!(index.remove(new), Some(2));
        assert_eq!(newest(&index, 5), Some(1));
        Ok(())
    }

    #[test]
    fn a_key_names_one_entry_for_good() -> Result {
        let mut index = DescriptorIndex::new();
        let first = insert(&mut index, 5, 1)?;
        assert_eq!(index.remove(first), Some(1));
        let second = insert(&mut index, 5, 2)?;
        assert!(first != second);
        assert_eq!(index.remove(first), None);
        assert_eq!(newest(&index, 5), Some(2));
        Ok(())
    }

    #[test]
    fn all_entries_are_shown() -> Result {
        let mut index = DescriptorIndex::new();
        insert(&mut index, 7, 70)?;
        insert(&mut index, 3, 30)?;
        insert(&mut index, 3, 31)?;
        let mut shown = index.iter();
        assert_eq!(shown.next(), Some((3, &31)));
        assert_eq!(shown.next(), Some((3, &30)));
        assert_eq!(shown.next(), Some((7, &70)));
        assert_eq!(shown.next(), None);
        Ok(())
    }
}

#[kunit_tests(xen_gntdev_dmabuf_layout)]
mod dmabuf_layout_tests {
    use crate::{
        dmabuf_layout::{
            data_offset,
            Backing,
            DataStart, //
        },
        xen::{
            bindings::{
                GNTDEV_DMA_FLAG_COHERENT,
                GNTDEV_DMA_FLAG_WC, //
            },
            buffer_segment::Segment,
        },
    };
    use kernel::{
        page::PAGE_SIZE,
        prelude::*, //
    };

    const PAGE: u64 = PAGE_SIZE as u64;

    fn segment(address: u64, length: usize) -> Segment {
        Segment { address, length }
    }

    fn offset(segments: &[Segment], page_count: usize) -> Result<usize> {
        data_offset(segments.iter().copied(), page_count)
    }

    #[test]
    fn flags_say_the_backing() {
        assert_eq!(Backing::from_flags(0), Ok(Backing::Ordinary));
        assert_eq!(
            Backing::from_flags(GNTDEV_DMA_FLAG_WC),
            Ok(Backing::WriteCombine)
        );
        assert_eq!(
            Backing::from_flags(GNTDEV_DMA_FLAG_COHERENT),
            Ok(Backing::Coherent)
        );
    }

    #[test]
    fn each_backing_has_its_own_word() {
        assert_eq!(Backing::Ordinary.name(), "ordinary");
        assert_eq!(Backing::WriteCombine.name(), "write-combine");
        assert_eq!(Backing::Coherent.name(), "coherent");
    }

    #[test]
    fn other_flags_are_invalid() {
        let both = GNTDEV_DMA_FLAG_WC | GNTDEV_DMA_FLAG_COHERENT;
        for flags in [both, 4, both | 4, GNTDEV_DMA_FLAG_WC | 8, 1 << 31, u32::MAX] {
            assert_eq!(Backing::from_flags(flags), Err(EINVAL));
        }
    }

    fn start(page: usize, offset: usize) -> Result<DataStart> {
        Ok(DataStart { page, offset })
    }

    #[test]
    fn data_begin_at_a_byte_of_a_page() {
        const SIZE: u32 = PAGE_SIZE as u32;
        assert_eq!(DataStart::new(0, 1), start(0, 0));
        assert_eq!(DataStart::new(SIZE - 1, 1), start(0, PAGE_SIZE - 1));
        assert_eq!(DataStart::new(SIZE, 2), start(1, 0));
        assert_eq!(DataStart::new(2 * SIZE + 5, 3), start(2, 5));
        let last = u32::MAX as usize;
        assert_eq!(
            DataStart::new(u32::MAX, 1 << 20),
            start(last / PAGE_SIZE, last % PAGE_SIZE)
        );
    }

    #[test]
    fn data_begin_within_the_pages() {
        for (offset, pages) in [(0, 0), (PAGE_SIZE as u32, 1), (u32::MAX, 1), (u32::MAX, 9)] {
            assert_eq!(DataStart::new(offset, pages), Err(EINVAL));
        }
    }

    #[test]
    fn a_piece_has_each_frame_that_it_has_a_part_of() {
        assert_eq!(segment(7 * PAGE, 3 * PAGE_SIZE).frames(), Some(7..10));
        assert_eq!(segment(4 * PAGE + 64, PAGE_SIZE - 64).frames(), Some(4..5));
        assert_eq!(segment(4 * PAGE, PAGE_SIZE + 1).frames(), Some(4..6));
    }

    #[test]
    fn pieces_follow_each_other() {
        let pieces = [
            segment(9 * PAGE, PAGE_SIZE),
            segment(2 * PAGE, 2 * PAGE_SIZE),
            segment(9 * PAGE, PAGE_SIZE),
        ];
        assert_eq!(offset(&pieces, 4), Ok(0));
    }

    #[test]
    fn data_can_begin_within_the_first_page() {
        let pieces = [
            segment(4 * PAGE + 64, PAGE_SIZE - 64),
            segment(8 * PAGE, PAGE_SIZE),
        ];
        assert_eq!(offset(&pieces, 2), Ok(64));
    }

    #[test]
    fn data_can_end_within_the_last_page() {
        assert_eq!(offset(&[segment(4 * PAGE, PAGE_SIZE + 1)], 2), Ok(0));
    }

    #[test]
    fn a_gap_within_a_page_is_invalid() {
        let ends_early = [segment(PAGE, PAGE_SIZE - 1), segment(2 * PAGE, PAGE_SIZE)];
        assert_eq!(offset(&ends_early, 2), Err(EINVAL));
        let begins_late = [segment(PAGE, PAGE_SIZE), segment(2 * PAGE + 1, 16)];
        assert_eq!(offset(&begins_late, 2), Err(EINVAL));
    }

    #[test]
    fn the_number_of_pages_must_be_right() {
        let pieces = [segment(PAGE, 2 * PAGE_SIZE), segment(8 * PAGE, PAGE_SIZE)];
        for count in [1, 2, 4, 5] {
            assert_eq!(offset(&pieces, count), Err(EINVAL));
        }
        assert_eq!(offset(&pieces, 3), Ok(0));
        assert_eq!(offset(&[], 1), Err(EINVAL));
        assert_eq!(offset(&[], 0), Err(EINVAL));
    }

    #[test]
    fn a_piece_cannot_end_past_all_addresses() {
        let piece = [segment(u64::MAX - PAGE + 1, 2 * PAGE_SIZE)];
        assert_eq!(offset(&piece, 2), Err(EINVAL));
    }
}

#[kunit_tests(xen_gntdev_direction)]
mod direction_tests {
    use crate::xen::direction::Direction::{
        self,
        Bidirectional,
        FromDevice,
        ToDevice, //
    };

    const ALL: [Direction; 3] = [Bidirectional, ToDevice, FromDevice];

    #[test]
    fn a_cpu_that_only_writes_gets_nothing_of_the_device() {
        assert_eq!(Bidirectional.before_cpu(ToDevice), Some(ToDevice));
        assert_eq!(FromDevice.before_cpu(ToDevice), None);
    }

    #[test]
    fn a_cpu_that_reads_gets_what_the_device_wrote() {
        for access in [FromDevice, Bidirectional] {
            assert_eq!(FromDevice.before_cpu(access), Some(FromDevice));
            assert_eq!(Bidirectional.before_cpu(access), Some(access));
        }
    }

    #[test]
    fn a_device_that_only_reads_wrote_nothing() {
        assert_eq!(ToDevice.before_cpu(FromDevice), None);
        for access in [ToDevice, Bidirectional] {
            assert_eq!(ToDevice.before_cpu(access), Some(ToDevice));
        }
    }

    #[test]
    fn a_device_gets_what_a_cpu_wrote() {
        for access in [ToDevice, Bidirectional] {
            assert_eq!(ToDevice.after_cpu(access), Some(ToDevice));
            assert_eq!(Bidirectional.after_cpu(access), Some(access));
        }
    }

    #[test]
    fn a_device_gets_nothing_of_a_cpu_that_only_read() {
        assert_eq!(ToDevice.after_cpu(FromDevice), None);
        assert_eq!(Bidirectional.after_cpu(FromDevice), Some(FromDevice));
    }

    #[test]
    fn a_cpu_writes_nothing_later_than_the_device() {
        for access in ALL {
            assert_eq!(FromDevice.after_cpu(access), Some(FromDevice));
        }
    }

    #[test]
    fn nothing_is_done_that_the_mapping_is_not_for() {
        for mapping in [ToDevice, FromDevice] {
            for access in ALL {
                let before = mapping.before_cpu(access);
                assert!(before.is_none_or(|done| done == mapping));
                let after = mapping.after_cpu(access);
                assert!(after.is_none_or(|done| done == mapping));
            }
        }
    }
}

#[kunit_tests(xen_gntdev_release_event)]
mod release_event_tests {
    use crate::release_event::ReleaseEvent;
    use kernel::prelude::*;

    fn event() -> Result<Pin<KBox<ReleaseEvent>>> {
        KBox::pin_init(ReleaseEvent::new(), GFP_KERNEL)
    }

    #[test]
    fn what_has_not_happened_times_out() -> Result {
        let event = event()?;
        assert_eq!(event.wait(0), Err(ETIMEDOUT));
        assert_eq!(event.wait(1), Err(ETIMEDOUT));
        Ok(())
    }

    #[test]
    fn what_has_happened_is_not_waited_for() -> Result {
        let event = event()?;
        event.signal();
        assert_eq!(event.wait(0), Ok(()));
        assert_eq!(event.wait(u32::MAX), Ok(()));
        Ok(())
    }

    #[test]
    fn it_happens_once_for_all() -> Result {
        let event = event()?;
        event.signal();
        event.signal();
        for _ in 0..3 {
            assert_eq!(event.wait(1), Ok(()));
        }
        Ok(())
    }
}
