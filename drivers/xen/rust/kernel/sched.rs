// SPDX-License-Identifier: GPL-2.0

//! Calls to the scheduler, for the current task.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h).

use crate::xen::bindings;

/// Returns whether the current task has a fatal signal pending (C: `fatal_signal_pending()`).
///
/// May be called in the context of a task.
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: The shim asks about the current task.
    unsafe { bindings::xen_rust_fatal_signal_pending() }
}

/// Lets other tasks run if one is waiting for this CPU (C: `cond_resched()`). Must be called where
/// sleeping is allowed.
pub(crate) fn cond_resched() {
    // SAFETY: The function has no requirement but on the context, which cannot harm memory.
    unsafe { bindings::xen_rust_cond_resched() };
}
