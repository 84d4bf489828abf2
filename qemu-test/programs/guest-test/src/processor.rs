// SPDX-License-Identifier: GPL-2.0

//! Processors that a thread may run on.

use std::io;

use rustix::thread::sched_setaffinity;
use rustix::thread::CpuSet;

/// Keeps the calling thread, and those that it starts, on the first processor.
pub fn stay_on_first() -> io::Result<()> {
    let mut first = CpuSet::new();
    first.set(0);
    Ok(sched_setaffinity(None, &first)?)
}
