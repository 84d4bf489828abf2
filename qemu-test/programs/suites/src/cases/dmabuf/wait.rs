// SPDX-License-Identifier: GPL-2.0

//! Waits for the end of an exported dma-buf.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::thread::Scope;
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use std::time::Instant;

use xen_guest::errno::EINTR;
use xen_guest::errno::ENOENT;
use xen_guest::errno::ETIMEDOUT;
use xen_guest::gntdev::Gntdev;
use xen_guest::grant_table::GrantTable;
use xen_guest::interruption::Interruption;
use xen_guest::ktap::Verdict;
use xen_guest::process::Child;
use xen_guest::process::End;
use xen_guest::readiness::wait_readable;
use xen_guest::signal::SIGKILL;
use xen_guest::tick_clock;

use super::buffers::assert_ends;
use super::buffers::exported;
use super::buffers::exported_as;
use super::buffers::imported;
use super::buffers::KINDS;
use super::buffers::LONG;
use super::buffers::NO_EXPORT;
use crate::suite::rules;
use crate::task::Task;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::assert_released;
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

    #[rule("what never was an export is ENOENT")]
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
        table.wait_released(777, 0)?;
        Ok(())
    },

    #[rule("a wait goes on while a duplicate is open")]
    #[expect_c_differs(NO_EXPORT)]
    fn duplicate(world: &mut World) -> Verdict {
        let held = exported(world, 1, 508)?;
        let number = held.buffer.number();
        let duplicate = held.buffer.duplicate()?;
        drop(held.buffer);
        let result = held.device.wait_released(number, 50);
        assert_error(result, ETIMEDOUT, "a duplicate is open");
        drop(duplicate);
        assert_ends(&held.device, number);
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("a wait goes on while the buffer is mapped")]
    #[expect_c_differs(NO_EXPORT)]
    fn mapped(world: &mut World) -> Verdict {
        let held = exported(world, 2, 509)?;
        let number = held.buffer.number();
        let mut first = held.buffer.map(2)?;
        drop(held.buffer);
        let second = first.split_off(1);
        first.unmap()?;
        let result = held.device.wait_released(number, 50);
        assert_error(result, ETIMEDOUT, "a page is mapped");
        second.unmap()?;
        assert_ends(&held.device, number);
        Ok(())
    },

    /// The signal's handler has SA_RESTART. The signal is repeated, since the first might come
    /// before the wait.
    #[rule("a signal ends a wait with EINTR, never restarted")]
    #[expect_c_differs(NO_EXPORT)]
    fn interrupted(world: &mut World) -> Verdict {
        let held = exported(world, 1, 510)?;
        let number = held.buffer.number();
        let begin = Instant::now();
        let interruption = Interruption::every(Duration::from_millis(100))?;
        let result = held.device.wait_released(number, LONG);
        drop(interruption);
        assert_error(result, EINTR, "an interrupted wait");
        assert!(begin.elapsed() < Duration::from_millis(LONG.into()) / 2);

        // The buffer and its number are as before.
        let result = held.device.wait_released(number, 0);
        assert_error(result, ETIMEDOUT, "after the interruption");
        drop(held.buffer);
        assert_ends(&held.device, number);
        Ok(())
    },

    #[rule("a process can be killed while it waits")]
    #[expect_c_differs(NO_EXPORT)]
    fn killed(world: &mut World) -> Verdict {
        let held = exported(world, 1, 511)?;
        let number = held.buffer.number();
        let mut child = Child::spawn(|| {
            let _ = held.device.wait_released(number, u32::MAX);
        })?;
        assert_waits(&Task::of_process(child.id()), &held.device);
        child.kill()?;
        let end = child.wait(PATIENCE)?;
        assert_eq!(end, Some(End::Signalled(SIGKILL)));

        let result = held.device.wait_released(number, 0);
        assert_error(result, ETIMEDOUT, "after the other waiter's death");
        drop(held.buffer);
        assert_ends(&held.device, number);
        Ok(())
    },

    #[rule("sixteen threads wait for one buffer")]
    #[expect_c_differs(NO_EXPORT)]
    fn many_threads(world: &mut World) -> Verdict {
        const THREADS: usize = 16;
        let held = exported(world, 1, 512)?;
        let number = held.buffer.number();
        let device = &held.device;
        thread::scope(|scope| -> Verdict {
            let waiters = (0..THREADS)
                .map(|_| Waiter::spawn(scope, device, number))
                .collect::<io::Result<Vec<_>>>()?;
            let impatient = scope.spawn(|| device.wait_released(number, 20));
            let result = impatient.join().expect("a waiter");
            assert_error(result, ETIMEDOUT, "one that waits less");
            drop(held.buffer);
            for waiter in waiters {
                let result = waiter.join();
                assert!(result.is_ok(), "one of many: {result:?}");
            }
            Ok(())
        })?;
        Ok(())
    },

    /// The end of one buffer must not end the wait for another.
    #[rule("threads wait for a buffer each")]
    #[expect_c_differs(NO_EXPORT)]
    fn threads_of_their_own(world: &mut World) -> Verdict {
        const THREADS: usize = 8;
        let share = world.share(THREADS)?;
        let domid = world.granter.domid();
        let device = &Gntdev::open()?;
        let mut buffers = Vec::new();
        for reference in share.references() {
            buffers.push(device.export(0, domid, &[reference])?);
        }
        thread::scope(|scope| -> Verdict {
            let mut waiters = buffers
                .iter()
                .map(|buffer| Waiter::spawn(scope, device, buffer.number()))
                .collect::<io::Result<Vec<_>>>()?;
            while let Some(buffer) = buffers.pop() {
                drop(buffer);
                let waiter = waiters.pop().expect("a waiter for each");
                let result = waiter.join();
                assert!(result.is_ok(), "{} left: {result:?}", buffers.len());
                for waiter in &waiters {
                    assert_waits(&waiter.task, device);
                }
            }
            Ok(())
        })?;
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("a number that is used again names the new buffer")]
    #[expect_c_differs(NO_EXPORT)]
    fn number_used_again(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        let mut numbers = Vec::new();
        for _ in 0..5 {
            let buffer = device.export(0, domid, &share.references())?;
            let number = buffer.number();
            let result = device.wait_released(number, 0);
            assert_error(result, ETIMEDOUT, "the buffer of this number lives");
            drop(buffer);
            assert_ends(&device, number);
            numbers.push(number);
        }
        // The kernel hands out the lowest number that is free.
        assert!(
            numbers.iter().all(|number| *number == numbers[0]),
            "{numbers:?}"
        );
        Ok(())
    },

    #[rule("a wait stays with its buffer when the number is used again")]
    #[expect_c_differs(NO_EXPORT)]
    fn wait_stays(world: &mut World) -> Verdict {
        let held = exported(world, 1, 513)?;
        let number = held.buffer.number();
        let device = &held.device;
        let domid = world.granter.domid();
        let other = world.share(1)?.references();
        thread::scope(|scope| -> Verdict {
            let waiter = Waiter::spawn(scope, device, number)?;
            // A duplicate keeps the first buffer while its number goes to another.
            let duplicate = held.buffer.duplicate()?;
            drop(held.buffer);
            let second = device.export(0, domid, &other)?;
            assert_eq!(second.number(), number, "the number is used again");
            let result = device.wait_released(number, 0);
            assert_error(result, ETIMEDOUT, "both buffers live");
            drop(second);
            assert!(wait_readable(device.file(), PATIENCE)?, "the end is told");
            assert_waits(&waiter.task, device);

            drop(duplicate);
            let result = waiter.join();
            assert!(result.is_ok(), "{result:?}");
            Ok(())
        })?;
        assert_released(&held.share.grants);
        assert_ends(&held.device, number);
        Ok(())
    },

    #[rule("a number that is used again for a file is ENOENT")]
    #[expect_c_differs(NO_EXPORT)]
    fn number_of_file(world: &mut World) -> Verdict {
        let held = exported(world, 1, 514)?;
        let number = held.buffer.number();
        drop(held.buffer);
        assert_ends(&held.device, number);
        let file = File::open("/proc/self/status")?;
        assert_eq!(file.as_raw_fd() as u32, number, "the number is used again");
        for limit in [0, LONG] {
            let result = held.device.wait_released(number, limit);
            assert_error(result, ENOENT, "it is an ordinary file's");
        }
        Ok(())
    }
];

/// A thread that waits for an export to end.
struct Waiter<'scope> {
    task: Task,
    thread: ScopedJoinHandle<'scope, io::Result<()>>,
}

impl<'scope> Waiter<'scope> {
    /// Starts the thread, and returns once it waits for export `number` of `device`.
    fn spawn(
        scope: &'scope Scope<'scope, '_>,
        device: &'scope Gntdev,
        number: u32,
    ) -> io::Result<Self> {
        let (sender, tasks) = mpsc::channel();
        let thread = scope.spawn(move || {
            let task = Task::current()?;
            sender.send(task).expect("the receiver waits");
            device.wait_released(number, LONG)
        });
        let task = tasks.recv().map_err(io::Error::other)?;
        assert_waits(&task, device);
        Ok(Self { task, thread })
    }

    fn join(self) -> io::Result<()> {
        self.thread.join().expect("a waiter")
    }
}

/// Returns when `task` sleeps in a request on `device`; fails the case if it has ended.
fn assert_waits(task: &Task, device: &Gntdev) {
    task.wait_until_asleep_on(device.file())
        .expect("a thread that waits");
}
