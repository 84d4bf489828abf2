// SPDX-License-Identifier: GPL-2.0

//! Effects of programs that look for the pages that a process uses, on a mapped dma-buf.
//!
//! A process that was given a dma-buf need not be allowed to open the device. It must not be able
//! to end the kernel by looking at its own pages. As with regions, only a granter in another domain
//! shows a fault.

use std::io;

use guest_test::ktap::Verdict;
use guest_test::mapping::Pipe;
use guest_test::page_monitor;
use guest_test::page_monitor::Bits;
use guest_test::pattern::Pattern;
use guest_test::process::in_child;
use guest_test::process::End;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use crate::cases::dmabuf::buffers::exported;
use crate::cases::dmabuf::buffers::exported_as;
use crate::cases::dmabuf::buffers::of_all_kinds;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_released;
use crate::world::World;

rules![
    #[rule("clear_refs leaves a mapped buffer to the process")]
    #[expect_c_differs(NO_EXPORT)]
    fn cleared(world: &mut World) -> Verdict {
        of_all_kinds(world, |world, flags| {
            monitored(world, flags, |mapping| {
                for bits in Bits::ALL {
                    page_monitor::clear(bits)?;
                    assert_eq!(mapping.first_difference(442), None, "after {bits:?}");
                }
                Ok(())
            })
        })
    },

    #[rule("a scan for written pages leaves a mapped buffer to the process")]
    #[expect_c_differs(NO_EXPORT)]
    fn scanned(world: &mut World) -> Verdict {
        of_all_kinds(world, |world, flags| {
            monitored(world, flags, page_monitor::scan_written)
        })
    },

    #[rule("marking all pages idle leaves a mapped buffer as it is")]
    #[expect_c_differs(NO_EXPORT)]
    fn idle(world: &mut World) -> Verdict {
        let held = exported(world, 2, 442)?;
        let mapping = held.buffer.map(2)?;
        if !page_monitor::mark_idle()? {
            return skip_case("this kernel has no idle page tracking");
        }
        assert_eq!(mapping.first_difference(442), None);
        Ok(())
    },

    #[rule("a read-only mapping stays one when soft-dirty bits are cleared")]
    #[expect_c_differs(NO_EXPORT)]
    fn read_only(world: &mut World) -> Verdict {
        let held = exported(world, 1, 442)?;
        let end = in_child(|| {
            let mapping = held.buffer.map_part(0, 1, Protection::Read).expect("map");
            page_monitor::clear(Bits::SoftDirty).expect("clear_refs");
            assert_eq!(mapping.first_difference(442), None);
        })?;
        assert_eq!(end, End::Exited(0));
        Ok(())
    },

    #[rule("a page goes into a pipe after its soft-dirty bit was cleared")]
    #[expect_c_differs(NO_EXPORT)]
    fn page_in_pipe(world: &mut World) -> Verdict {
        let held = exported(world, 1, 442)?;
        let mapping = held.buffer.map(1)?;
        let expected = mapping.read_vec(0, PAGE_SIZE);
        page_monitor::clear(Bits::SoftDirty)?;
        let mut pipe = Pipe::new()?;
        assert_eq!(pipe.take_pages(&mapping)?, PAGE_SIZE);
        assert!(pipe.read(PAGE_SIZE)? == expected, "other bytes came out");
        Ok(())
    }
];

/// Maps a buffer in a child process, which calls `monitor` and must then still have the buffer.
fn monitored(world: &mut World, flags: u32, monitor: fn(&Mapping) -> io::Result<()>) -> Verdict {
    let held = exported_as(world, flags, 2, 442)?;
    let end = in_child(|| {
        let mapping = held.buffer.map(2).expect("map");
        assert_eq!(mapping.first_difference(442), None);
        monitor(&mapping).expect("the monitor");
        assert_eq!(mapping.first_difference(442), None);
        mapping.fill(443);
    })?;
    assert_eq!(end, End::Exited(0));
    world.assert_granter_sees(&held.share, 443);
    drop(held.buffer);
    assert_released(&held.share.grants);
    Ok(())
}
