// SPDX-License-Identifier: GPL-2.0

//! Repeated signals, which interrupt blocking system calls.

use std::io;
use std::mem;
use std::ptr;
use std::time::Duration;

use crate::call::check;

/// Timer that sends `SIGALRM` to the process at intervals while it lives.
#[derive(Debug)]
pub struct Interruption(());

extern "C" fn do_nothing(_: libc::c_int) {}

impl Interruption {
    /// Starts the timer. System calls that can be restarted after a signal are restarted.
    pub fn every(interval: Duration) -> io::Result<Self> {
        // SAFETY: Zeroes are an action with an empty set of signals.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = do_nothing as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: The handler does nothing, which is safe at any time.
        check(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) })?;
        set_timer(interval)?;
        Ok(Self(()))
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        let _ = set_timer(Duration::ZERO);
    }
}

fn set_timer(interval: Duration) -> io::Result<()> {
    let interval = libc::timeval {
        tv_sec: interval.as_secs() as libc::time_t,
        tv_usec: interval.subsec_micros().into(),
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: The timer is a valid one; the former value is not asked for.
    check(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) })
}
