// SPDX-License-Identifier: GPL-2.0

//! Atomic words, in place of `atomic.rs` of the kernel.
//!
//! A word belongs to the host until the model checker explores interleavings, and to loom from then
//! on. The kernel's files choose the orderings. A test can weaken them here, operation by
//! operation, which has the effect of a weaker ordering in the kernel's file: see [`Fault`].

use loom::sync as model;
use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
    sync::{
        self as host,
        atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
        OnceLock,
    },
};

pub(crate) use std::sync::atomic::Ordering;

/// Operation whose ordering a test weakens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Load,
    Add,
    Or,
    And,
    Swap,
    Exchange,
    Fence,
}

/// A fault of the guest, planted by a test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Operations with the ordering that they have instead of the one that the kernel's file asks
    /// for.
    pub(crate) weakened: &'static [(Operation, Ordering)],
    /// True if a compare-and-exchange is a read and a write.
    pub(crate) torn_exchange: bool,
}

impl Fault {
    /// No fault.
    pub(crate) const NONE: Self = Self {
        weakened: &[],
        torn_exchange: false,
    };
}

/// Events that a test asserts to have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Number of times that the guest waited for the hypervisor.
    pub(crate) waits: u64,
    /// Number of times that the hypervisor marked a word busy.
    pub(crate) busy: u64,
    /// Number of events that were found in the queues of a CPU that had gone.
    pub(crate) drained: u64,
}

// Loom runs all threads of a test on the thread of that test, so these belong to a test.
thread_local! {
    static EXPLORING: Cell<bool> = const { Cell::new(false) };
    static FAULT: Cell<Fault> = const { Cell::new(Fault::NONE) };
    static FOUND: Cell<u32> = const { Cell::new(0) };
    static REACHED: Cell<Reached> = const {
        Cell::new(Reached {
            waits: 0,
            busy: 0,
            drained: 0,
        })
    };
}

/// Hands the words over to loom, or takes them back.
pub(crate) fn set_exploring(exploring: bool) {
    EXPLORING.set(exploring);
}

/// True if the words are loom's.
pub(crate) fn is_exploring() -> bool {
    EXPLORING.get()
}

/// Plants a fault.
pub(crate) fn plant(fault: Fault) {
    FAULT.set(fault);
}

/// Value that the last [`AtomicU32::fetch_and`] of the running thread found. To be asked for right
/// after it.
pub(crate) fn found() -> u32 {
    FOUND.get()
}

/// Counts events of [`Reached`].
pub(crate) fn reach(count: impl FnOnce(&mut Reached)) {
    let mut reached = REACHED.get();
    count(&mut reached);
    REACHED.set(reached);
}

/// The events since the last call.
pub(crate) fn take_reached() -> Reached {
    REACHED.take()
}

/// Ordering of an operation of the guest: the one that the kernel's file asks for, or a weaker one.
fn of_guest(operation: Operation, ordering: Ordering) -> Ordering {
    let weakened = FAULT.get().weakened.iter();
    let mut found = weakened.filter(|(weakened, _)| *weakened == operation);
    found.next().map_or(ordering, |(_, weaker)| *weaker)
}

/// The ordering of a load that comes with `ordering` of a read-modify-write operation.
fn of_load(ordering: Ordering) -> Ordering {
    match ordering {
        AcqRel => Acquire,
        Release => Relaxed,
        ordering => ordering,
    }
}

/// A word. See the description of this file.
pub(crate) struct AtomicU32 {
    host: host::atomic::AtomicU32,
    model: OnceLock<Box<model::atomic::AtomicU32>>,
}

/// Calls a method of the atomic that a word consists of.
macro_rules! call {
    ($word:expr, $method:ident($($argument:expr),*)) => {
        match $word.model() {
            Some(word) => word.$method($($argument),*),
            None => $word.host.$method($($argument),*),
        }
    };
}

impl AtomicU32 {
    pub(crate) const fn new(value: u32) -> Self {
        Self {
            host: host::atomic::AtomicU32::new(value),
            model: OnceLock::new(),
        }
    }

    /// Loom's atomic, which begins with the value of the host's.
    fn model(&self) -> Option<&model::atomic::AtomicU32> {
        let begin = || Box::new(model::atomic::AtomicU32::new(self.host.load(Relaxed)));
        EXPLORING.get().then(|| &**self.model.get_or_init(begin))
    }

    pub(crate) fn load(&self, ordering: Ordering) -> u32 {
        call!(self, load(of_guest(Operation::Load, ordering)))
    }

    pub(crate) fn store(&self, value: u32, ordering: Ordering) {
        call!(self, store(value, ordering));
    }

    pub(crate) fn fetch_add(&self, value: u32, ordering: Ordering) -> u32 {
        call!(self, fetch_add(value, of_guest(Operation::Add, ordering)))
    }

    pub(crate) fn fetch_or(&self, bits: u32, ordering: Ordering) -> u32 {
        call!(self, fetch_or(bits, of_guest(Operation::Or, ordering)))
    }

    pub(crate) fn fetch_and(&self, bits: u32, ordering: Ordering) -> u32 {
        let found = call!(self, fetch_and(bits, of_guest(Operation::And, ordering)));
        FOUND.set(found);
        found
    }

    pub(crate) fn swap(&self, value: u32, ordering: Ordering) -> u32 {
        call!(self, swap(value, of_guest(Operation::Swap, ordering)))
    }

    pub(crate) fn compare_exchange_weak(
        &self,
        expected: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        let success = of_guest(Operation::Exchange, success);
        if FAULT.get().torn_exchange {
            let seen = call!(self, load(of_load(success)));
            if seen != expected {
                return Err(seen);
            }
            call!(self, store(new, Release));
            return Ok(seen);
        }
        call!(self, compare_exchange(expected, new, success, failure))
    }

    /// The operations of the other side, which no fault of the guest concerns.
    pub(crate) fn by_xen(&self) -> XenWord<'_> {
        XenWord(self)
    }
}

/// A word as the hypervisor accesses it. The orderings are those of Xen on Arm, which are the
/// weaker ones: setting and clearing a bit has none.
#[derive(Clone, Copy)]
pub(crate) struct XenWord<'a>(&'a AtomicU32);

impl XenWord<'_> {
    /// `read_atomic()` and `test_bit()`.
    pub(crate) fn read(self) -> u32 {
        self.load_with(Relaxed)
    }

    /// `write_atomic()`.
    pub(crate) fn write(self, value: u32) {
        self.store_with(value, Relaxed);
    }

    /// `set_bit()`.
    pub(crate) fn set_bits(self, bits: u32) {
        call!(self.0, fetch_or(bits, Relaxed));
    }

    /// `clear_bit()`; returns the value before, which the hypervisor itself does not look at.
    pub(crate) fn clear_bits(self, bits: u32) -> u32 {
        call!(self.0, fetch_and(!bits, Relaxed))
    }

    /// `test_and_set_bit()`; returns the value before.
    pub(crate) fn test_and_set(self, bits: u32) -> u32 {
        call!(self.0, fetch_or(bits, AcqRel))
    }

    /// `cmpxchg()`.
    pub(crate) fn compare_exchange(self, expected: u32, new: u32) -> Result<u32, u32> {
        call!(self.0, compare_exchange(expected, new, AcqRel, Acquire))
    }

    /// A load.
    pub(crate) fn load_with(self, ordering: Ordering) -> u32 {
        call!(self.0, load(ordering))
    }

    /// A store.
    pub(crate) fn store_with(self, value: u32, ordering: Ordering) {
        call!(self.0, store(value, ordering));
    }
}

/// A fence of the guest's files that are tested.
pub(crate) fn fence(ordering: Ordering) {
    if of_guest(Operation::Fence, ordering) != Relaxed {
        barrier(ordering);
    }
}

/// Any other fence.
pub(crate) fn barrier(ordering: Ordering) {
    if EXPLORING.get() {
        model::atomic::fence(ordering);
    } else {
        host::atomic::fence(ordering);
    }
}

/// The guest waits for the other side.
pub(crate) fn spin_loop() {
    reach(|reached| reached.waits += 1);
    if EXPLORING.get() {
        loom::thread::yield_now();
    }
}

/// A lock and the number that it protects.
pub(crate) struct Lock {
    host: host::Mutex<u32>,
    model: OnceLock<Box<model::Mutex<u32>>>,
}

impl Lock {
    pub(crate) const fn new() -> Self {
        Self {
            host: host::Mutex::new(0),
            model: OnceLock::new(),
        }
    }

    pub(crate) fn lock(&self) -> LockGuard<'_> {
        const NO_PANIC: &str = "no thread of a test panics";
        let host = || self.host.lock().expect(NO_PANIC);
        if EXPLORING.get() {
            let begin = || Box::new(model::Mutex::new(*host()));
            LockGuard::Model(self.model.get_or_init(begin).lock().expect(NO_PANIC))
        } else {
            LockGuard::Host(host())
        }
    }
}

/// A lock that is held.
pub(crate) enum LockGuard<'a> {
    Host(host::MutexGuard<'a, u32>),
    Model(model::MutexGuard<'a, u32>),
}

impl Deref for LockGuard<'_> {
    type Target = u32;

    fn deref(&self) -> &u32 {
        match self {
            Self::Host(guard) => guard,
            Self::Model(guard) => guard,
        }
    }
}

impl DerefMut for LockGuard<'_> {
    fn deref_mut(&mut self) -> &mut u32 {
        match self {
            Self::Host(guard) => guard,
            Self::Model(guard) => guard,
        }
    }
}
