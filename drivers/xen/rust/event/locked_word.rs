// SPDX-License-Identifier: GPL-2.0

//! Words that the guest shares with the hypervisor, by atomic operations that are always locked.
//!
//! The kernel's own atomics, [`kernel::sync::atomic`] among them, are patched to leave out the lock
//! prefix where there is one CPU. That is the guest's CPU: the hypervisor and other guests go on
//! with all others. The C code has the `sync_` family of operations for this; the atomics of
//! [`core`] are never patched.
//!
//! Nothing in here uses the kernel: a model checker on the host compiles this file too.
//!
//! [`kernel::sync::atomic`]: srctree/rust/kernel/sync/atomic.rs

use core::sync::atomic::{
    fence,
    AtomicU32,
    Ordering::{
        AcqRel,
        Acquire,
        Relaxed, //
    }, //
};

/// A 32-bit word of memory that the guest shares with the hypervisor.
///
/// The other side may run on another CPU even if the guest has only one, so an implementation must
/// never leave out the atomicity where there is one CPU. The read-modify-write operations acquire
/// and release.
pub(crate) trait SharedWord {
    /// Reads the word, without any order.
    fn load(&self) -> u32;
    /// Writes the word, without any order. Only for words that the other side does not yet change.
    fn store(&self, value: u32);
    /// Sets `bits`.
    fn set_bits(&self, bits: u32);
    /// Clears `bits`.
    fn clear_bits(&self, bits: u32);
    /// Writes `value` and returns what was there.
    fn swap(&self, value: u32) -> u32;
    /// Writes `new` if `expected` is there.
    ///
    /// # Errors
    ///
    /// What is there instead; also `expected` itself, as it may fail for no reason.
    fn compare_exchange(&self, expected: u32, new: u32) -> Result<(), u32>;
    /// Keeps all later reads of shared words behind all earlier ones (C: `virt_rmb()`).
    fn read_barrier();
    /// Says that the caller waits for the other side (C: `cpu_relax()`).
    fn relax();
}

impl SharedWord for AtomicU32 {
    #[inline(always)]
    fn load(&self) -> u32 {
        AtomicU32::load(self, Relaxed)
    }

    #[inline(always)]
    fn store(&self, value: u32) {
        AtomicU32::store(self, value, Relaxed);
    }

    #[inline(always)]
    fn set_bits(&self, bits: u32) {
        self.fetch_or(bits, AcqRel);
    }

    #[inline(always)]
    fn clear_bits(&self, bits: u32) {
        self.fetch_and(!bits, AcqRel);
    }

    #[inline(always)]
    fn swap(&self, value: u32) -> u32 {
        AtomicU32::swap(self, value, AcqRel)
    }

    #[inline(always)]
    fn compare_exchange(&self, expected: u32, new: u32) -> Result<(), u32> {
        self.compare_exchange_weak(expected, new, AcqRel, Relaxed)
            .map(drop)
    }

    #[inline(always)]
    fn read_barrier() {
        fence(Acquire);
    }

    #[inline(always)]
    fn relax() {
        core::hint::spin_loop();
    }
}
