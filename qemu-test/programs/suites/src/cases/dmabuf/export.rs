// SPDX-License-Identifier: GPL-2.0

//! A dma-buf of granted pages has their size, their data and their order.

use std::io::SeekFrom;
use std::time::Duration;

use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::grant_dma_buf::memory::COHERENT;
use guest_test::grant_dma_buf::memory::WRITE_COMBINE;
use guest_test::inspect::synchronize;
use guest_test::inspect::Inspect;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use xen_grants::dma_buf::CpuAccess;
use xen_grants::grant_dma_buf::Backing;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use super::buffers::exported;
use super::buffers::exported_as;
use super::buffers::KINDS;
use super::buffers::NO_EXPORT;
use crate::granter::Access;
use crate::random::Random;
use crate::suite::rules;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::World;

rules![
    #[rule("an export of one page")]
    #[expect_c_differs(NO_EXPORT)]
    fn one_page(world: &mut World) -> Verdict {
        assert_data(world, 0, 1, 300)
    },

    #[rule("an export of two pages")]
    #[expect_c_differs(NO_EXPORT)]
    fn two_pages(world: &mut World) -> Verdict {
        assert_data(world, 0, 2, 302)
    },

    #[rule("an export of 64 pages")]
    #[expect_c_differs(NO_EXPORT)]
    fn pages_64(world: &mut World) -> Verdict {
        assert_data(world, 0, 64, 304)
    },

    #[rule("an export of 512 pages")]
    #[expect_c_differs(NO_EXPORT)]
    fn pages_512(world: &mut World) -> Verdict {
        assert_data(world, 0, 512, 306)
    },

    #[rule("an export by libxengnttab")]
    #[expect_c_differs(NO_EXPORT)]
    fn by_library(world: &mut World) -> Verdict {
        let share = world.share(3)?;
        world.granter.fill(&share, 308)?;
        let table = GrantTable::open()?;
        let domid = world.granter.domid();
        let export = table.export(domid, &share.references(), Backing::Ordinary)?;
        let mapping = export.map(3)?;
        assert_eq!(mapping.first_difference(308), None);
        mapping.unmap()?;

        let open = table.closed_export(export.number());
        assert!(open.wait_released(Duration::ZERO).is_err(), "it lives");
        let closed = export.close();
        closed.wait_released(PATIENCE)?;
        closed.wait_released(Duration::ZERO)?;
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("the descriptor is closed on exec and writable")]
    #[expect_c_differs(NO_EXPORT)]
    fn descriptor(world: &mut World) -> Verdict {
        for (flags, kind) in KINDS {
            let held = exported_as(world, flags, 1, 309)?;
            assert!(held.buffer.is_closed_on_exec()?, "{kind} memory");
            assert!(held.buffer.is_writable()?, "{kind} memory");
        }
        Ok(())
    },

    #[rule("the size is that of the pages")]
    #[expect_c_differs(NO_EXPORT)]
    fn size(world: &mut World) -> Verdict {
        for pages in [1, 2, 33] {
            let held = exported(world, pages, 310)?;
            let expected = (pages * PAGE_SIZE) as u64;
            assert_eq!(held.buffer.size()?, expected, "by lseek");
            assert_eq!(held.buffer.seek(SeekFrom::Start(0))?, 0);
            let metadata = held.buffer.metadata()?;
            assert_eq!(metadata.len(), expected, "by fstat");
        }
        Ok(())
    },

    #[rule("the grants are mapped from the export on")]
    #[expect_c_differs(NO_EXPORT)]
    fn mapped_at_once(world: &mut World) -> Verdict {
        let held = exported(world, 5, 311)?;
        assert_eq!(in_use(&held.share.grants)?, 5);
        drop(held.buffer);
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("pages are in the order of the references")]
    #[expect_c_differs(NO_EXPORT)]
    fn order(world: &mut World) -> Verdict {
        const PAGES: usize = 16;
        let share = world.share(PAGES)?;
        world.granter.fill(&share, 312)?;
        let mut places: Vec<usize> = (0..PAGES).collect();
        Random::new(8).shuffle(&mut places);
        let references: Vec<u32> = places
            .iter()
            .map(|place| share.grants[*place].reference)
            .collect();

        let device = Gntdev::open()?;
        let buffer = device.export(0, world.granter.domid(), &references)?;
        let mut rest = buffer.map(PAGES)?;
        for place in places.iter().rev() {
            let page = rest.split_off(rest.pages() - 1);
            let difference = page.first_difference_from(place * PAGE_SIZE, 312);
            assert_eq!(difference, None, "page {place} in place {}", rest.pages());
        }
        Ok(())
    },

    #[rule("one grant can be in a buffer several times")]
    #[expect_c_differs(NO_EXPORT)]
    fn repeated(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let reference = share.grants[0].reference;
        let device = Gntdev::open()?;
        let buffer = device.export(0, world.granter.domid(), &[reference; 3])?;
        let mapping = buffer.map(3)?;
        mapping.write(5, 113);
        assert_eq!(mapping.read(PAGE_SIZE + 5), 113);
        assert_eq!(mapping.read(2 * PAGE_SIZE + 5), 113);
        drop((mapping, buffer));
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("one grant can be in several buffers")]
    #[expect_c_differs(NO_EXPORT)]
    fn in_several_buffers(world: &mut World) -> Verdict {
        let held = exported(world, 2, 314)?;
        let other_device = Gntdev::open()?;
        let references = held.share.references();
        let domid = world.granter.domid();
        let same_file = held.device.export(0, domid, &references)?;
        let other_file = other_device.export(0, domid, &references)?;
        let last = same_file.map(2)?;

        // Each of the three maps the grants by itself.
        let mapping = held.buffer.map(2)?;
        mapping.fill(315);
        drop((mapping, held.buffer));
        assert_eq!(in_use(&held.share.grants)?, 2);
        assert_eq!(other_file.map(2)?.first_difference(315), None);
        drop(other_file);
        assert_eq!(in_use(&held.share.grants)?, 2);
        assert_eq!(last.first_difference(315), None);
        drop((last, same_file));
        assert_released(&held.share.grants);
        Ok(())
    },

    /// The export is no region: it has no index, and the first region is at 0.
    #[rule("a grant can be in a buffer and in a region")]
    #[expect_c_differs(NO_EXPORT)]
    fn beside_region(world: &mut World) -> Verdict {
        let held = exported(world, 2, 316)?;
        let index = held.device.insert(&held.share.grants)?;
        assert_eq!(index, 0);
        let region = held.device.map(index, 2, Protection::ReadWrite)?;
        let mapping = held.buffer.map(2)?;
        region.fill(317);
        assert_eq!(mapping.first_difference(317), None);

        region.unmap()?;
        held.device.remove(index, 2)?;
        mapping.fill(318);
        world.assert_granter_sees(&held.share, 318);
        drop((mapping, held.buffer));
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("write-combining memory holds the data")]
    #[expect_c_differs(NO_EXPORT)]
    fn write_combining(world: &mut World) -> Verdict {
        for (pages, seed) in [(1, 320), (2, 322), (64, 324)] {
            assert_data(world, WRITE_COMBINE, pages, seed)?;
        }
        Ok(())
    },

    #[rule("coherent memory holds the data")]
    #[expect_c_differs(NO_EXPORT)]
    fn coherent(world: &mut World) -> Verdict {
        for (pages, seed) in [(1, 330), (2, 332), (64, 334)] {
            assert_data(world, COHERENT, pages, seed)?;
        }
        Ok(())
    },

    /// If devices are not coherent, frames for device memory are exchanged with the hypervisor and
    /// back. Frames that came back wrong would fail their next user.
    #[rule("ordinary memory can be exported after that of devices")]
    #[expect_c_differs(NO_EXPORT)]
    fn kinds_in_turn(world: &mut World) -> Verdict {
        for round in 0..6 {
            for (flags, _) in KINDS {
                assert_data(world, flags, 8, 340 + 2 * round)?;
            }
        }
        Ok(())
    },

    #[rule("write-combining and coherent exclude each other")]
    fn both_kinds(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let device = Gntdev::open()?;
        let flags = WRITE_COMBINE | COHERENT;
        let result = device.export(flags, world.granter.domid(), &share.references());
        assert_error(result, EINVAL, "both flags");
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("unknown flags are EINVAL")]
    fn unknown_flags(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let device = Gntdev::open()?;
        for flags in [4, 1 << 31, COHERENT | 8, !WRITE_COMBINE] {
            let result = device.export(flags, world.granter.domid(), &share.references());
            assert_error(result, EINVAL, &format!("flags {flags:#x}"));
        }
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("access is begun and ended for any direction")]
    #[expect_c_differs(NO_EXPORT)]
    fn synchronized(world: &mut World) -> Verdict {
        for (flags, kind) in KINDS {
            let held = exported_as(world, flags, 2, 360)?;
            for access in [CpuAccess::Read, CpuAccess::Write, CpuAccess::ReadWrite] {
                let begun = held.buffer.begin_access(access);
                assert!(begun.is_ok(), "{kind} memory, begin {access:?}: {begun:?}");
                let ended = held.buffer.end_access(access);
                assert!(ended.is_ok(), "{kind} memory, end {access:?}: {ended:?}");
            }
        }
        Ok(())
    },

    #[rule("a begin or end with unknown flags is EINVAL")]
    #[expect_c_differs(NO_EXPORT)]
    fn unknown_access(world: &mut World) -> Verdict {
        let held = exported(world, 1, 361)?;
        for flags in [0, 8, 0x11, u64::MAX] {
            let result = synchronize(&held.buffer, flags);
            assert_error(result, EINVAL, &format!("flags {flags:#x}"));
        }
        Ok(())
    },

    /// The export request has no flag for read-only pages.
    #[rule("pages that were granted read-only are EINVAL")]
    fn read_only_grants(world: &mut World) -> Verdict {
        let share = world.granter.share(2, Access::ReadOnly)?;
        let device = Gntdev::open()?;
        let result = device.export(0, world.granter.domid(), &share.references());
        assert_error(result, EINVAL, "exporting them");
        assert_released(&share.grants);
        Ok(())
    }
];

/// Checks that granter and mapping see each other's data.
fn assert_data(world: &mut World, flags: u32, pages: usize, seed: u32) -> Verdict {
    let held = exported_as(world, flags, pages, seed)?;
    let mapping = held.buffer.map(pages)?;
    held.buffer.begin_access(CpuAccess::ReadWrite)?;
    assert_eq!(
        mapping.first_difference(seed),
        None,
        "what the granter wrote"
    );
    mapping.fill(seed + 1);
    held.buffer.end_access(CpuAccess::ReadWrite)?;
    world.assert_granter_sees(&held.share, seed + 1);

    // In the other direction, while the pages are mapped.
    let at = (pages - 1) * PAGE_SIZE + 77;
    let value = !mapping.read(at);
    world.granter.write(&held.share, at, value)?;
    held.buffer.begin_access(CpuAccess::Read)?;
    assert_eq!(
        mapping.read(at),
        value,
        "data that the granter wrote meanwhile"
    );
    held.buffer.end_access(CpuAccess::Read)?;

    mapping.unmap()?;
    drop(held.buffer);
    assert_released(&held.share.grants);
    Ok(())
}
