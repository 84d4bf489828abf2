// SPDX-License-Identifier: GPL-2.0

//! Scheduler calls for the current task.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h).

use crate::xen::bindings;

/// Returns true if the current task has a fatal signal pending (C: `fatal_signal_pending()`).
///
/// May be called in task context.
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: The shim reads the state of the current task.
    unsafe { bindings::xen_rust_fatal_signal_pending() }
}

/// Lets other tasks run if one is waiting for this CPU (C: `cond_resched()`). Must be called in a
/// context that may sleep.
pub(crate) fn cond_resched() {
    // SAFETY: The only requirement of the function is on the context, and concerns no memory.
    unsafe { bindings::xen_rust_cond_resched() };
}
