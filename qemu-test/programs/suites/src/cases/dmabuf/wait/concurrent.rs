// SPDX-License-Identifier: GPL-2.0

//! Waits of many threads, and numbers that are used again.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::thread;

use guest_test::errno::ENOENT;
use guest_test::errno::ETIMEDOUT;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::readiness::wait_readable;

use super::waiter::assert_waits;
use super::waiter::Waiter;
use crate::cases::dmabuf::buffers::assert_ends;
use crate::cases::dmabuf::buffers::exported;
use crate::cases::dmabuf::buffers::LONG;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::suite::rules;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

rules![
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
            let duplicate = held.buffer.try_clone()?;
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
