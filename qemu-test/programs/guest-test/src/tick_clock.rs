// SPDX-License-Identifier: GPL-2.0

//! The time as the kernel's timeouts see it: it goes on by ticks.
//!
//! A processor that the host did not let run makes up for its lost ticks in one
//! go. A timeout that counts them may end after a few milliseconds of the exact
//! clock then.

use std::io;
use std::time::Duration;

use rustix::time::clock_getres;
use rustix::time::clock_gettime;
use rustix::time::ClockId;

const CLOCK: ClockId = ClockId::MonotonicCoarse;

/// The time at the last tick.
pub fn now() -> io::Result<Duration> {
    Duration::try_from(clock_gettime(CLOCK)).map_err(io::Error::other)
}

/// From one tick to the next.
pub fn tick() -> io::Result<Duration> {
    Duration::try_from(clock_getres(CLOCK)).map_err(io::Error::other)
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
