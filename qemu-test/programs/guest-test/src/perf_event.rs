// SPDX-License-Identifier: GPL-2.0

//! Events of the kernel's performance counters: perf_event_open(2).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;

use crate::call::check;

/// The first version of `struct perf_event_attr`, which each kernel takes.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    type_: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    bp_addr: u64,
}

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_CPU_CLOCK: u64 = 0;

/// `_IOW('$', 4, __u64)`.
const PERF_EVENT_IOC_PERIOD: libc::c_ulong = 0x4008_2404;

/// An event that counts while it is open.
#[derive(Debug)]
pub struct PerfEvent(File);

impl PerfEvent {
    /// Processor time of the calling thread, on any processor; sampled every 100 microseconds.
    pub fn cpu_clock() -> io::Result<Self> {
        let attributes = PerfEventAttr {
            type_: PERF_TYPE_SOFTWARE,
            size: size_of::<PerfEventAttr>() as u32,
            config: PERF_COUNT_SW_CPU_CLOCK,
            sample_period: 100_000,
            ..Default::default()
        };
        let (this_thread, any_processor, no_group) = (0, -1, -1);
        // SAFETY: The attributes have the size that they say; the kernel reads them only.
        let descriptor = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attributes,
                this_thread,
                any_processor,
                no_group,
                libc::c_ulong::default(),
            )
        };
        let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
        check(descriptor)?;
        // SAFETY: The descriptor is new, and nothing else owns it.
        Ok(Self(unsafe { File::from_raw_fd(descriptor) }))
    }

    /// Sets the time between two samples, in nanoseconds.
    pub fn set_period(&self, nanoseconds: u64) -> io::Result<()> {
        // SAFETY: The request reads one number of 64 bits.
        check(unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                PERF_EVENT_IOC_PERIOD,
                &raw const nanoseconds,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attributes_are_the_first_version() {
        assert_eq!(size_of::<PerfEventAttr>(), 64);
    }
}
