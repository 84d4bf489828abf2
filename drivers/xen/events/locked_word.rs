// SPDX-License-Identifier: GPL-2.0

//! Words that the guest shares with the hypervisor, by atomic operations that are always locked.
//!
//! The kernel's own atomics, [`kernel::sync::atomic`] among them, are patched to leave out the lock
//! prefix where there is one CPU. That is the guest's CPU: the hypervisor and other guests go on
//! with all others. The C code has the `sync_` family of operations for this; the atomics of
//! [`core`] are never patched.
//!
//! [`kernel::sync::atomic`]: srctree/rust/kernel/sync/atomic.rs

#![forbid(unsafe_code)]

use crate::event_word::SharedWord;
use core::sync::atomic::{
    fence,
    AtomicU32,
    Ordering::{
        AcqRel,
        Acquire,
        Relaxed, //
    }, //
};

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
