// SPDX-License-Identifier: GPL-2.0

//! Processor time of a thread, which does not include waiting.

use std::io;
use std::time::Duration;

use rustix::time::clock_gettime;
use rustix::time::ClockId;

/// Returns the time that the calling thread has run so far, in user space and in the kernel.
pub fn of_this_thread() -> io::Result<Duration> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::hint;
    use std::thread;

    use super::*;

    #[test]
    fn work_counts_and_sleep_does_not() {
        let begin = of_this_thread().unwrap();
        thread::sleep(Duration::from_millis(300));
        assert!(of_this_thread().unwrap() - begin < Duration::from_millis(200));

        let begin = of_this_thread().unwrap();
        while of_this_thread().unwrap() == begin {
            hint::spin_loop();
        }
    }
}
