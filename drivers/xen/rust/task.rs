// SPDX-License-Identifier: GPL-2.0

//! The calling task.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h).

use super::bindings;

/// Returns whether the calling task is about to be killed (C: `fatal_signal_pending()`).
pub(crate) fn is_being_killed() -> bool {
    // SAFETY: The shim asks about the current task.
    unsafe { bindings::xen_rust_fatal_signal_pending() }
}

/// Lets other tasks run if they are waiting (C: `cond_resched()`). Must be called where sleeping is
/// allowed.
pub(crate) fn let_others_run() {
    // SAFETY: The function has no requirement but on the context, which cannot harm memory.
    unsafe { bindings::xen_rust_cond_resched() };
}
