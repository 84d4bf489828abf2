// SPDX-License-Identifier: GPL-2.0

//! How long a processor worked, apart from the time that was waited.

use std::io;
use std::mem;
use std::time::Duration;

use crate::mapping::check;

/// What the calling thread has used so far, in programs and in the kernel.
pub fn of_this_thread() -> io::Result<Duration> {
    // SAFETY: Zeroes are a time.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: There is room for the one time that is written.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) })?;
    // Neither is negative, and nanoseconds are less than a second.
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
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
