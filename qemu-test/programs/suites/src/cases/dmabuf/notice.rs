// SPDX-License-Identifier: GPL-2.0

//! The device's file can be polled and read for exports that have ended.

use std::thread;
use std::time::Duration;

use guest_test::errno::EAGAIN;
use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::readiness::wait_readable;

use super::buffers::assert_ends;
use super::buffers::exported;
use super::buffers::imported;
use super::buffers::NO_EXPORT;
use crate::suite::rules;
use crate::task::Task;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::in_use;
use crate::world::World;

rules![
    #[rule("a file without exports cannot be read")]
    #[expect_c_differs("has no poll, so that the file always looks readable")]
    fn nothing_to_read(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        assert!(!readable(&device)?);
        assert_error(count(&device), EAGAIN, "reading");
        Ok(())
    },

    #[rule("a file can be read when an export has ended")]
    #[expect_c_differs(NO_EXPORT)]
    fn readable_at_the_end(world: &mut World) -> Verdict {
        let held = exported(world, 2, 1300)?;
        assert!(!readable(&held.device)?, "it lives");
        let number = held.buffer.number();
        let mapping = held.buffer.map(2)?;
        drop(held.buffer);
        assert!(!readable(&held.device)?, "it is mapped");
        drop(mapping);
        assert!(wait_readable(held.device.file(), PATIENCE)?, "it has ended");
        assert_eq!(in_use(&held.share.grants)?, 0);
        assert_ends(&held.device, number);
        // Waiting does not read the number.
        assert!(readable(&held.device)?, "it was not read");
        Ok(())
    },

    #[rule("poll waits for the end of an export")]
    #[expect_c_differs(NO_EXPORT)]
    fn poll_waits(world: &mut World) -> Verdict {
        let held = exported(world, 2, 1301)?;
        thread::scope(|scope| -> Verdict {
            let waiter = Task::current()?;
            scope.spawn(move || {
                waiter.wait_until_asleep().expect("the other thread sleeps");
                drop(held.buffer);
            });
            assert!(wait_readable(held.device.file(), PATIENCE)?);
            Ok(())
        })?;
        assert_eq!(in_use(&held.share.grants)?, 0);
        assert_eq!(count(&held.device)?, 1);
        Ok(())
    },

    #[rule("read tells how many exports have ended, once")]
    #[expect_c_differs(NO_EXPORT)]
    fn counted(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        for expected in [1, 2, 7] {
            let mut numbers = Vec::new();
            for _ in 0..expected {
                let buffer = device.export(0, domid, &share.references())?;
                numbers.push(buffer.number());
            }
            for number in numbers {
                assert_ends(&device, number);
            }
            assert_eq!(count(&device)?, expected);
            assert_error(count(&device), EAGAIN, "reading once more");
            assert!(!readable(&device)?);
        }
        Ok(())
    },

    #[rule("a read of less than the number is EINVAL")]
    #[expect_c_differs(NO_EXPORT)]
    fn short_read(world: &mut World) -> Verdict {
        let held = exported(world, 1, 1302)?;
        drop(held.buffer);
        assert!(wait_readable(held.device.file(), PATIENCE)?);
        for length in [1, 4, 7] {
            let mut buffer = [0; 7];
            let result = held.device.read(&mut buffer[..length]);
            assert_error(result, EINVAL, &format!("{length} bytes"));
        }
        // A longer buffer is filled in part, and the failures have lost nothing.
        let mut buffer = [0; 64];
        assert_eq!(held.device.read(&mut buffer)?, 8);
        assert_eq!(buffer[..8], 1u64.to_ne_bytes());
        Ok(())
    },

    #[rule("an export of one file is not told to another")]
    #[expect_c_differs(NO_EXPORT)]
    fn other_file(world: &mut World) -> Verdict {
        let held = exported(world, 1, 1303)?;
        let other = Gntdev::open()?;
        drop(held.buffer);
        assert!(wait_readable(held.device.file(), PATIENCE)?);
        assert!(!readable(&other)?);
        assert_error(count(&other), EAGAIN, "reading");
        Ok(())
    },

    #[rule("the end of an import is not told")]
    #[expect_c_differs("has no poll, so that the file always looks readable")]
    fn imports_are_not_told(world: &mut World) -> Verdict {
        let held = imported(world, 2, 1304)?;
        assert!(!readable(&held.device)?, "it lives");
        held.device.release_import(held.number())?;
        assert!(!readable(&held.device)?, "it was released");
        Ok(())
    }
];

fn readable(device: &Gntdev) -> std::io::Result<bool> {
    wait_readable(device.file(), Duration::ZERO)
}

fn count(device: &Gntdev) -> std::io::Result<u64> {
    let mut buffer = [0; 8];
    assert_eq!(device.read(&mut buffer)?, 8);
    Ok(u64::from_ne_bytes(buffer))
}
