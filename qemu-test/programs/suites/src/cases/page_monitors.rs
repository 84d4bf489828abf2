// SPDX-License-Identifier: GPL-2.0

//! Effects of programs that look for the pages that a process uses.
//!
//! The kernel clears bits of the page-table entries for them. Those of a paravirtual mapping are
//! written by the hypervisor, which refuses such a write to the entry of another domain's page.
//! With the domain's own grants it allows the write: only a granter in another domain shows a
//! fault.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use guest_test::gntdev::notify::CLEAR_BYTE;
use guest_test::ktap::Verdict;
use guest_test::mapping::Pipe;
use guest_test::page_monitor;
use guest_test::page_monitor::Bits;
use guest_test::pattern::Pattern;
use guest_test::platform::Driver;
use guest_test::process::End;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use crate::cases::memory_calls::assert_discarded;
use crate::cases::memory_calls::assert_moved;
use crate::cases::memory_calls::touch;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::World;

rules![
    /// 1 and 3 clear the accessed bit of every page that the kernel has a `struct page` of.
    #[rule("clearing accessed bits leaves a mapped grant as it is")]
    fn accessed(world: &mut World) -> Verdict {
        if world.is_paravirtual() && world.driver == Driver::C {
            return skip_case("with the C driver the kernel writes the entry and dies");
        }
        let change = |mapping: Mapping| -> io::Result<Mapping> {
            for bits in Bits::ALL {
                if bits != Bits::SoftDirty {
                    page_monitor::clear(bits)?;
                    assert_eq!(mapping.first_difference(86), None, "after {bits:?}");
                }
            }
            Ok(mapping)
        };
        let end = touch(world, Protection::ReadWrite, change, write_again)?;
        assert_eq!(end, End::Exited(0));
        Ok(())
    },

    #[rule("clearing soft-dirty bits leaves a mapped grant to the process")]
    #[expect_c_differs_on_pv("takes the pages from the process")]
    fn soft_dirty(world: &mut World) -> Verdict {
        for protection in [Protection::Read, Protection::ReadWrite] {
            let end = touch(world, protection, cleared, |mapping| {
                assert_eq!(mapping.first_difference(86), None);
                if protection == Protection::ReadWrite {
                    write_again(mapping);
                }
            })?;
            assert_eq!(end, End::Exited(0), "{protection:?}");
        }
        Ok(())
    },

    #[rule("a scan for written pages leaves a mapped grant to the process")]
    #[expect_c_differs_on_pv("takes the pages from the process")]
    fn scanned(world: &mut World) -> Verdict {
        let change = |mapping: Mapping| page_monitor::scan_written(&mapping).map(|()| mapping);
        let end = touch(world, Protection::ReadWrite, change, write_again)?;
        assert_eq!(end, End::Exited(0));
        Ok(())
    },

    #[rule("marking all pages idle leaves a mapped grant as it is")]
    fn idle(world: &mut World) -> Verdict {
        let held = world.mapped(2, 86)?;
        if !page_monitor::mark_idle()? {
            return skip_case("this kernel has no idle page tracking");
        }
        assert_eq!(held.mapping.first_difference(86), None);
        held.mapping.fill(87);
        world.assert_granter_sees(&held.share, 87);
        Ok(())
    },

    #[rule("the kernel gets at a page after its soft-dirty bit was cleared")]
    #[expect_c_differs_on_pv("takes the pages from the process")]
    fn kernel_access(world: &mut World) -> Verdict {
        let end = touch(world, Protection::ReadWrite, cleared, |mapping| {
            let mut pipe = Pipe::new().expect("pipe");
            assert_eq!(pipe.take_pages(mapping).expect("vmsplice"), 2 * PAGE_SIZE);
            let data = pipe.read(2 * PAGE_SIZE).expect("read");
            assert!(data == mapping.read_vec(0, 2 * PAGE_SIZE), "other bytes");
        })?;
        assert_eq!(end, End::Exited(0));
        Ok(())
    },

    /// Threads touch the pages while the grants are taken from them and mapped again.
    #[rule("threads use a mapped grant while soft-dirty bits are cleared")]
    #[expect_c_differs_on_pv("takes the pages from the process")]
    fn cleared_meanwhile(world: &mut World) -> Verdict {
        const ROUNDS: usize = 200;
        let end = touch(world, Protection::ReadWrite, Ok, |mapping| {
            let done = &AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            for page in 0..2 {
                                let at = page * PAGE_SIZE;
                                mapping.write(at, mapping.read(at));
                            }
                        }
                    });
                }
                for round in 0..ROUNDS {
                    let result = if round % 2 == 0 {
                        page_monitor::clear(Bits::SoftDirty)
                    } else {
                        page_monitor::scan_written(mapping)
                    };
                    if let Err(error) = result {
                        done.store(true, Ordering::Relaxed);
                        panic!("round {round}: {error}");
                    }
                }
                done.store(true, Ordering::Relaxed);
            });
            assert_eq!(mapping.first_difference(86), None);
        })?;
        assert_eq!(end, End::Exited(0));
        Ok(())
    },

    /// In a paravirtual domain the process loses the pages, also those that are not mapped now.
    #[rule("mremap moves a mapping whose soft-dirty bits were cleared")]
    fn moved(world: &mut World) -> Verdict {
        assert_moved(world, cleared)
    },

    #[rule("madvise lets go of pages whose soft-dirty bits were cleared")]
    fn discarded(world: &mut World) -> Verdict {
        assert_discarded(world, cleared)
    },

    /// The process still uses the page, so that its peer must not take it for dead.
    #[rule("clearing soft-dirty bits clears no byte for the granter")]
    #[expect_c_differs_on_pv("clears the byte at once")]
    fn byte_kept(world: &mut World) -> Verdict {
        const BYTE: usize = 5;
        let held = world.mapped(1, 86)?;
        held.mapping.write(BYTE, 1);
        held.device
            .set_notify(held.index + BYTE as u64, CLEAR_BYTE, 0)?;
        page_monitor::clear(Bits::SoftDirty)?;
        assert_eq!(world.granter.read(&held.share, BYTE)?, 1);
        held.mapping.unmap()?;
        held.device.remove(held.index, 1)?;
        assert_eq!(world.granter.read(&held.share, BYTE)?, 0);
        Ok(())
    }
];

/// Clears the soft-dirty bits of the process that has `mapping`.
fn cleared(mapping: Mapping) -> io::Result<Mapping> {
    page_monitor::clear(Bits::SoftDirty)?;
    Ok(mapping)
}

/// Checks the pattern of `mapping`, and writes it again.
fn write_again(mapping: &Mapping) {
    assert_eq!(mapping.first_difference(86), None);
    mapping.fill(86);
}
