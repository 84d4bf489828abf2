// SPDX-License-Identifier: GPL-2.0

//! Clock of the kernel's timeouts, which advances by ticks.
//!
//! A virtual processor that the host did not run catches up on its lost ticks at once. A timeout
//! that counts ticks may then end after a few milliseconds of the exact clock.

use std::io;
use std::time::Duration;

use rustix::time::clock_getres;
use rustix::time::clock_gettime;
use rustix::time::ClockId;

const CLOCK: ClockId = ClockId::MonotonicCoarse;

/// Returns the time of the last tick.
pub fn now() -> io::Result<Duration> {
    Duration::try_from(clock_gettime(CLOCK)).map_err(io::Error::other)
}

/// Returns the length of a tick.
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
