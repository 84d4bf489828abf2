// SPDX-License-Identifier: GPL-2.0

//! Users that keep a buffer, and waits that end before the buffer.

use std::time::Duration;
use std::time::Instant;

use guest_test::errno::EINTR;
use guest_test::errno::ETIMEDOUT;
use guest_test::interruption::Interruption;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::process::Child;
use guest_test::process::End;
use guest_test::signal::SIGKILL;

use super::waiter::assert_waits;
use crate::cases::dmabuf::buffers::assert_ends;
use crate::cases::dmabuf::buffers::exported;
use crate::cases::dmabuf::buffers::LONG;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::suite::rules;
use crate::task::Task;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

rules![
    #[rule("a wait goes on while a duplicate is open")]
    #[expect_c_differs(NO_EXPORT)]
    fn duplicate(world: &mut World) -> Verdict {
        let held = exported(world, 1, 508)?;
        let number = held.buffer.number();
        let duplicate = held.buffer.try_clone()?;
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
    }
];
