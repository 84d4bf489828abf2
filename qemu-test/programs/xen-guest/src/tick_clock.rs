// SPDX-License-Identifier: GPL-2.0

//! The time as the kernel's timeouts see it: it goes on by ticks.
//!
//! A processor that the host did not let run makes up for its lost ticks in one
//! go. A timeout that counts them may end after a few milliseconds of the exact
//! clock then.

use std::io;
use std::mem;
use std::time::Duration;

use crate::mapping::check;

const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;

/// The time at the last tick.
pub fn now() -> io::Result<Duration> {
    // SAFETY: Zeroes are a time.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: There is room for the one time that is written.
    check(unsafe { libc::clock_gettime(CLOCK, &raw mut time) })?;
    Ok(duration(time))
}

/// From one tick to the next.
pub fn tick() -> io::Result<Duration> {
    // SAFETY: Zeroes are a time.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: There is room for the one time that is written.
    check(unsafe { libc::clock_getres(CLOCK, &raw mut time) })?;
    Ok(duration(time))
}

fn duration(time: libc::timespec) -> Duration {
    // Neither is negative, and nanoseconds are less than a second.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn it_goes_on_by_ticks() {
        let tick = tick().unwrap();
        assert!(tick >= Duration::from_millis(1) && tick <= Duration::from_millis(10));
        let begin = now().unwrap();
        thread::sleep(5 * tick);
        assert!(now().unwrap() - begin >= 3 * tick);
    }
}
