// SPDX-License-Identifier: GPL-2.0

//! Event that happens once, and that many threads can wait for.

#![forbid(unsafe_code)]

use kernel::{
    new_condvar,
    new_mutex,
    prelude::*,
    sync::{
        CondVar,
        CondVarTimeoutResult,
        Mutex, //
    },
    time::msecs_to_jiffies, //
};

/// Release of a buffer.
#[pin_data]
pub(crate) struct ReleaseEvent {
    #[pin]
    happened: Mutex<bool>,
    #[pin]
    changed: CondVar,
}

impl ReleaseEvent {
    /// Makes an event that has not happened yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            happened <- new_mutex!(false, "ReleaseEvent::happened"),
            changed <- new_condvar!("ReleaseEvent::changed"),
        })
    }

    /// Signals the event: wakes up all waiters, and later calls do not wait.
    pub(crate) fn signal(&self) {
        *self.happened.lock() = true;
        self.changed.notify_all();
    }

    /// Waits for the event, for at most `milliseconds`; 0 only checks. May sleep.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`; `EINTR` on a signal.
    pub(crate) fn wait(&self, milliseconds: u32) -> Result {
        let mut happened = self.happened.lock();
        let mut left = msecs_to_jiffies(milliseconds);
        while !*happened {
            if left == 0 {
                return Err(ETIMEDOUT);
            }
            left = match self.changed.wait_interruptible_timeout(&mut happened, left) {
                CondVarTimeoutResult::Woken { jiffies } => jiffies,
                CondVarTimeoutResult::Timeout => 0,
                CondVarTimeoutResult::Signal { .. } if *happened => 0,
                CondVarTimeoutResult::Signal { .. } => return Err(EINTR),
            };
        }
        Ok(())
    }
}
