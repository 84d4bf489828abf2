// SPDX-License-Identifier: GPL-2.0

//! Tests of the unmap operations of a mapping, and of the runs in which they are issued.

#![forbid(unsafe_code)]

use crate::xen::{
    bindings,
    grant::{
        operation::{
            map_operation,
            settle_unmaps,
            Access,
            GrantReference,
            Target, //
        },
        unmap::UnmapOperations,
    },
};
use core::ops::Range;
use kernel::prelude::*;

#[kunit_tests(xen_gntdev_unmap_operations)]
mod tests {
    use super::*;

    const GRANT: GrantReference = GrantReference {
        domain: 7,
        reference: 1,
    };

    /// Eight operations with their index as the handle. Those at the indices in `mapped` have a
    /// grant mapped.
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

    /// Answer of the hypervisor that unmaps all but the handles in `refused`. Returns the number of
    /// operations that were refused.
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

    /// Start and end of each mapped run in `range` of the eight operations that
    /// [`operations`] builds.
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
    fn the_room_is_used_again_when_nothing_is_mapped() -> Result {
        let mut operations = operations(&[1])?;
        assert_eq!(operations.clear(), Err(EAGAIN));
        assert_eq!(operations.len(), 8);
        operations.for_each_mapped_run(0..8, |_, operations| answer(operations, &[]));
        operations.clear()?;
        assert_eq!(operations.len(), 0);
        let more = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        assert!(!operations.add(&[more; 8])?);
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
    fn what_is_abandoned_leaves_its_room() -> Result {
        let mut operations = operations(&[0, 1, 2])?;
        operations.for_each_mapped_run(0..8, |_, operations| answer(operations, &[0, 2]));
        assert_eq!(operations.abandon(), 2);
        assert!(!operations.any_mapped());
        assert_eq!(operations.abandon(), 0);
        let more = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        assert!(!operations.add(&[more; 8])?);
        Ok(())
    }

    #[test]
    fn what_was_mapped_again_is_unmapped_again() -> Result {
        let mut operations = operations(&[0, 1, 2])?;
        operations.for_each_mapped_run(0..8, |_, operations| answer(operations, &[]));
        let mut again = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        again.handle = 1;
        again.status = bindings::GNTST_bad_gntref as i16;
        assert!(!operations.replace(1, &again));
        assert!(!operations.any_mapped());
        again.status = bindings::GNTST_okay as i16;
        assert!(operations.replace(1, &again));
        assert!(operations.is_mapped(1));
        assert!(!operations.replace(8, &again));
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

    /// Start and end of each mapped run of indices that are not in `busy`, and `true` if no mapped
    /// index was busy.
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
