// SPDX-License-Identifier: GPL-2.0

//! Words that the guest shares with the hypervisor, with atomic operations that are always locked.
//!
//! The atomics of the kernel, [`kernel::sync::atomic`] among them, are patched to omit the lock
//! prefix on a guest with one CPU. But the hypervisor and other guests run on other CPUs. C code
//! has the `sync_` family of operations for this; the atomics of [`core`] are never patched.
//!
//! The code does not depend on the kernel: a model checker on the host compiles this file, too, and
//! explores the interleavings that the orderings below allow.
//!
//! [`kernel::sync::atomic`]: srctree/rust/kernel/sync/atomic.rs

use super::atomic::{
    fence,
    spin_loop,
    AtomicU32,
    Ordering::{
        AcqRel,
        Acquire,
        Relaxed, //
    }, //
};

/// 32-bit word of memory that the guest shares with the hypervisor.
///
/// The hypervisor may run on another CPU even if the guest has only one, so an implementation must
/// be atomic also with one CPU. The read-modify-write operations acquire and release.
pub(crate) trait SharedWord {
    /// Reads the word, without ordering.
    fn load(&self) -> u32;
    /// Writes the word, without ordering. Only for words that the hypervisor does not yet change.
    fn store(&self, value: u32);
    /// Sets `bits`.
    fn set_bits(&self, bits: u32);
    /// Clears `bits`.
    fn clear_bits(&self, bits: u32);
    /// Writes `value` and returns the former value.
    fn swap(&self, value: u32) -> u32;
    /// Writes `new` if the value is `expected`.
    ///
    /// # Errors
    ///
    /// The current value; it can be `expected`, because the operation may fail spuriously.
    fn compare_exchange(&self, expected: u32, new: u32) -> Result<(), u32>;
    /// Orders all later reads of shared words after all earlier ones (C: `virt_rmb()`).
    fn read_barrier();
    /// Hints that the caller busy-waits for the hypervisor (C: `cpu_relax()`).
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
        spin_loop();
    }
}
