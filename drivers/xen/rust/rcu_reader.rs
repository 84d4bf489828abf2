// SPDX-License-Identifier: GPL-2.0

//! Evidence of an RCU read-side critical section that somebody else has entered.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h).

use core::marker::PhantomData;
use kernel::{
    sync::rcu,
    types::NotThreadSafe, //
};

/// Evidence that this CPU is in an RCU read-side critical section as long as `'a`. Costs nothing.
///
/// # Invariants
///
/// A grace period that begins while there is one does not end before `'a` does.
#[derive(Clone, Copy)]
pub(crate) struct RcuReader<'a>(PhantomData<&'a ()>, NotThreadSafe);

impl<'a> RcuReader<'a> {
    /// The critical section of a guard.
    pub(crate) fn new(_guard: &'a rcu::Guard) -> Self {
        // INVARIANT: The guard is borrowed, so it is there as long as `'a`.
        Self(PhantomData, NotThreadSafe)
    }

    /// The critical section of a caller that is not Rust, or of a context that is one by itself.
    ///
    /// # Safety
    ///
    /// As long as `'a` this CPU must be within `rcu_read_lock()`, or have its interrupts or
    /// preemption disabled.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        // INVARIANT: Grace periods wait for all three, and by this function's safety requirements
        // one is the case.
        Self(PhantomData, NotThreadSafe)
    }
}
