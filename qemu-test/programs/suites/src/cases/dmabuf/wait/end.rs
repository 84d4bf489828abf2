// SPDX-License-Identifier: GPL-2.0

//! Limits of a wait, and exports that have ended or never were.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use guest_test::errno::ENOENT;
use guest_test::errno::ETIMEDOUT;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::tick_clock;
use xen_grants::grant_table::GrantTable;

use super::waiter::assert_waits;
use crate::cases::dmabuf::buffers::assert_ends;
use crate::cases::dmabuf::buffers::exported;
use crate::cases::dmabuf::buffers::exported_as;
use crate::cases::dmabuf::buffers::imported;
use crate::cases::dmabuf::buffers::KINDS;
use crate::cases::dmabuf::buffers::LONG;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::suite::rules;
use crate::task::Task;
use crate::world::assert_error;
use crate::world::in_use;
use crate::world::World;

rules![
    #[rule("waiting 0 ms for a buffer that lives is ETIMEDOUT")]
    #[expect_c_differs(NO_EXPORT)]
    fn polled(world: &mut World) -> Verdict {
        let held = exported(world, 1, 500)?;
        let mut shortest = Duration::MAX;
        for _ in 0..10 {
            let begin = Instant::now();
            let result = held.device.wait_released(held.buffer.number(), 0);
            assert_error(result, ETIMEDOUT, "polling");
            shortest = shortest.min(begin.elapsed());
        }
        // A busy host may hold up some of the calls, but not each of them.
        assert!(shortest < Duration::from_secs(1), "{shortest:?}");
        Ok(())
    },

    #[rule("a wait lasts as long as it was to")]
    #[expect_c_differs(NO_EXPORT)]
    fn lasts(world: &mut World) -> Verdict {
        let held = exported(world, 1, 501)?;
        let tick = tick_clock::tick()?;
        for limit in [1, 40, 300] {
            let begin = tick_clock::now()?;
            let result = held.device.wait_released(held.buffer.number(), limit);
            assert_error(result, ETIMEDOUT, &format!("waiting {limit} ms"));
            let taken = tick_clock::now()? - begin;
            let wanted = Duration::from_millis(limit.into());
            assert!(taken + tick >= wanted, "{taken:?} instead of {limit} ms");
        }
        Ok(())
    },

    #[rule("a wait ends well when the buffer is closed")]
    #[expect_c_differs(NO_EXPORT)]
    fn closed_in_time(world: &mut World) -> Verdict {
        for (flags, kind) in KINDS {
            let held = exported_as(world, flags, 2, 502)?;
            let number = held.buffer.number();
            let closing = &AtomicBool::new(false);
            let (device, buffer) = (&held.device, held.buffer);
            thread::scope(|scope| -> Verdict {
                let waiter = Task::current()?;
                scope.spawn(move || {
                    assert_waits(&waiter, device);
                    closing.store(true, Ordering::Relaxed);
                    drop(buffer);
                });
                let result = device.wait_released(number, LONG);
                assert!(result.is_ok(), "{kind} memory: {result:?}");
                assert!(closing.load(Ordering::Relaxed), "the wait ended early");
                Ok(())
            })?;
        }
        Ok(())
    },

    /// The limits are up to 50 days; some exceed a signed number of milliseconds.
    #[rule("a wait without end ends with the buffer")]
    #[expect_c_differs(NO_EXPORT)]
    fn longest_wait(world: &mut World) -> Verdict {
        for limit in [i32::MAX as u32, 1 << 31, u32::MAX] {
            let held = exported(world, 1, 503)?;
            let number = held.buffer.number();
            let (device, buffer) = (&held.device, held.buffer);
            thread::scope(|scope| -> Verdict {
                let waiter = Task::current()?;
                scope.spawn(move || {
                    assert_waits(&waiter, device);
                    drop(buffer);
                });
                let result = device.wait_released(number, limit);
                assert!(result.is_ok(), "waiting {limit:#x} ms: {result:?}");
                Ok(())
            })?;
        }
        Ok(())
    },

    /// The granter may reuse its pages as soon as the wait has ended.
    #[rule("when a wait has ended nothing is mapped")]
    #[expect_c_differs(NO_EXPORT)]
    fn nothing_mapped(world: &mut World) -> Verdict {
        for (flags, kind) in KINDS {
            let held = exported_as(world, flags, 16, 504)?;
            let mapping = held.buffer.map(16)?;
            let number = held.buffer.number();
            drop(held.buffer);
            let device = &held.device;
            thread::scope(|scope| {
                let waiter = Task::current()?;
                scope.spawn(move || {
                    assert_waits(&waiter, device);
                    drop(mapping);
                });
                device.wait_released(number, LONG)
            })?;
            assert_eq!(in_use(&held.share.grants)?, 0, "{kind} memory");
        }
        Ok(())
    },

    #[rule("a buffer that has ended is ENOENT")]
    #[expect_c_differs(NO_EXPORT)]
    fn has_ended(world: &mut World) -> Verdict {
        let held = exported(world, 1, 505)?;
        let number = held.buffer.number();
        drop(held.buffer);
        assert_ends(&held.device, number);
        for limit in [0, 10, LONG] {
            let result = held.device.wait_released(number, limit);
            assert_error(result, ENOENT, &format!("waiting {limit} ms"));
        }
        Ok(())
    },

    #[rule("a number that never was an export is ENOENT")]
    fn never_exported(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let file = File::open("/proc/self/status")?;
        let own = device.file().as_raw_fd() as u32;
        for number in [
            0,
            own,
            file.as_raw_fd() as u32,
            777,
            i32::MAX as u32,
            u32::MAX,
        ] {
            for limit in [0, 100] {
                let result = device.wait_released(number, limit);
                assert_error(result, ENOENT, &format!("number {number:#x}, {limit} ms"));
            }
        }
        Ok(())
    },

    #[rule("an import is no export: ENOENT")]
    fn import_is_no_export(world: &mut World) -> Verdict {
        let held = imported(world, 1, 506)?;
        let result = held.device.wait_released(held.number(), 0);
        assert_error(result, ENOENT, "waiting for an import");
        Ok(())
    },

    #[rule("another file's export is ENOENT")]
    #[expect_c_differs(NO_EXPORT)]
    fn other_file(world: &mut World) -> Verdict {
        let held = exported(world, 1, 507)?;
        let other = Gntdev::open()?;
        let result = other.wait_released(held.buffer.number(), 0);
        assert_error(result, ENOENT, "waiting on a file that did not export");
        Ok(())
    },

    #[rule("libxengnttab takes ENOENT for an end")]
    fn library_ignores_absence(_: &mut World) -> Verdict {
        let table = GrantTable::open()?;
        table.closed_export(777).wait_released(Duration::ZERO)?;
        Ok(())
    }
];
