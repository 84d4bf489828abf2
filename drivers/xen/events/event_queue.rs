// SPDX-License-Identifier: GPL-2.0

//! Queues of one vCPU: one for each priority, each a list of event words.
//!
//! The hypervisor appends at the tail, which only it knows. The guest takes from the head. The
//! control block, one for each vCPU and shared, has the head of each queue that was empty before,
//! and a bit for each queue that has become non-empty. The position in a queue that the guest has
//! begun to empty is known to the guest only:
//!
//! ```text
//!   control block (shared)                        event words (shared)
//!     ready    ....0..1....            +--------> port 7: LINKED, link 9 ---+
//!     head[6]  7 ----------------------+          port 9: LINKED, link 3 <--+
//!     head[9]  (of an empty queue: old)           port 3: LINKED, link 0    the tail
//!
//!   Queues (the guest's)
//!     next[6]  0: begin at head[6]; after port 7 was taken: 9
//! ```
//!
//! A queue that runs empty gets a new head when the next event is linked, and only then its ready
//! bit. Therefore the head is read after the ready bit was seen, and not before the link that
//! marked the queue as empty. The code does not depend on the kernel, as in `event_word.rs`.
//!
//! Xen header: `include/xen/interface/event_channel.h`.

#![forbid(unsafe_code)]

use crate::{
    event_word::{
        EventWord,
        Port, //
    },
    xen::event::locked_word::SharedWord,
};
use core::sync::atomic::{
    AtomicU32,
    AtomicU64,
    Ordering::Relaxed, //
};

/// Number of priorities (C: `EVTCHN_FIFO_MAX_QUEUES`).
pub(crate) const PRIORITIES: usize = 16;

/// Priority of a queue of a vCPU; the lowest number is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct Priority(u32);

impl Priority {
    /// Returns all priorities, in the order in which they are served.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..PRIORITIES as u32).map(Self)
    }

    /// Returns the number, which is less than [`PRIORITIES`].
    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        // The mask has no effect. It tells the compiler that no array access can fail.
        (self.0 % PRIORITIES as u32) as usize
    }
}

/// Set of priorities, in the form of the ready word of a control block.
#[derive(Clone, Copy)]
struct ReadySet(u32);

impl ReadySet {
    /// Clears `word` and returns its bits. The hypervisor sets a bit after it has written the head
    /// of that queue, so heads that are read after this are at least as new.
    #[inline(always)]
    fn take<A: SharedWord>(word: &A) -> Self {
        Self(word.swap(0) & ((1 << PRIORITIES) - 1))
    }

    #[inline(always)]
    fn first(self) -> Option<Priority> {
        (self.0 != 0).then(|| Priority(self.0.trailing_zeros()))
    }

    #[inline(always)]
    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    #[inline(always)]
    fn remove(&mut self, priority: Priority) {
        self.0 &= !(1 << priority.index());
    }
}

/// Memory that a vCPU shares with the hypervisor (C: `struct evtchn_fifo_control_block`).
pub(crate) struct ControlBlock<'a, A>(&'a [A; CONTROL_BLOCK_WORDS]);

/// Number of words in a control block: the ready bits, a reserved one, and the heads.
pub(crate) const CONTROL_BLOCK_WORDS: usize = FIRST_HEAD + PRIORITIES;
const FIRST_HEAD: usize = 2;

impl<'a, A: SharedWord> ControlBlock<'a, A> {
    /// Wraps the words of a control block.
    #[inline(always)]
    pub(crate) fn new(words: &'a [A; CONTROL_BLOCK_WORDS]) -> Self {
        Self(words)
    }

    /// Returns the ready word: a bit for each priority whose queue has become non-empty.
    #[inline(always)]
    fn ready(&self) -> &'a A {
        &self.0[0]
    }

    /// Returns the head of a queue: its first port, valid from the setting of its ready bit until
    /// that port is unlinked.
    #[inline(always)]
    fn head(&self, priority: Priority) -> &'a A {
        &self.0[FIRST_HEAD + priority.index()]
    }

    /// Initializes the block for empty queues. The hypervisor must not know it yet.
    pub(crate) fn reset(&self) {
        for word in self.0 {
            word.store(0);
        }
    }
}

/// Counters of the queues of a vCPU since boot.
struct Counts {
    /// Number of events taken out, by priority; also events that had been masked or acknowledged
    /// before.
    consumed: [AtomicU64; PRIORITIES],
    /// Number of heads and links that named no event word.
    astray: AtomicU64,
}

/// Positions of the guest in the queues of one vCPU, and their counters.
///
/// Only one CPU at a time may consume: the vCPU itself, or the CPU that drains the queues after it
/// has gone offline. Others may read the state.
pub(crate) struct Queues {
    /// Next link to follow; 0 if the next port is the head in the control block.
    next: [AtomicU32; PRIORITIES],
    counts: Counts,
}

impl Queues {
    /// Makes the state of queues from which nothing has been taken.
    pub(crate) const fn new() -> Self {
        Self {
            next: [const { AtomicU32::new(0) }; PRIORITIES],
            counts: Counts {
                consumed: [const { AtomicU64::new(0) }; PRIORITIES],
                astray: AtomicU64::new(0),
            },
        }
    }

    /// Resets the positions after the control block was reset.
    pub(crate) fn restart(&self) {
        for next in &self.next {
            next.store(0, Relaxed);
        }
    }

    /// Takes all events out of the queues and calls `deliver` with those that are pending and not
    /// masked. After each event it continues with the first priority that has events.
    ///
    /// `word` returns the event word of a port; if there is none, the rest of that queue is dropped
    /// until the hypervisor sets another head.
    #[inline(always)]
    pub(crate) fn consume<'a, A: SharedWord + 'a>(
        &self,
        block: &ControlBlock<'_, A>,
        word: impl Fn(Port) -> Option<EventWord<'a, A>>,
        mut deliver: impl FnMut(Port),
    ) {
        // The first read has to be a swap, even if it finds nothing. The caller has announced it by
        // clearing the upcall flag. The swap orders it against the hypervisor, which sets a ready
        // bit, finds the flag cleared and sends another upcall.
        let mut ready = ReadySet::take(block.ready());
        while let Some(priority) = ready.first() {
            if self.consume_one(block, priority, &word, &mut deliver) == 0 {
                ready.remove(priority);
            }
            // A bit that is set after this read comes with another upcall.
            if block.ready().load() != 0 {
                ready.add(ReadySet::take(block.ready()));
            }
        }
    }

    /// Takes the first event out of one queue and returns the link to the next one.
    #[inline(always)]
    fn consume_one<'a, A: SharedWord + 'a>(
        &self,
        block: &ControlBlock<'_, A>,
        priority: Priority,
        word: impl Fn(Port) -> Option<EventWord<'a, A>>,
        deliver: &mut impl FnMut(Port),
    ) -> u32 {
        let queue = priority.index();
        let mut link = self.next[queue].load(Relaxed);
        if link == 0 {
            // The last word marked the queue as empty. The head must not be read before that.
            A::read_barrier();
            link = block.head(priority).load();
        }
        let found = Port::from_link(link).and_then(|port| Some((port, word(port)?)));
        let Some((port, word)) = found else {
            self.next[queue].store(0, Relaxed);
            increment(&self.counts.astray);
            return 0;
        };
        let link = word.unlink();
        self.next[queue].store(link, Relaxed);
        increment(&self.counts.consumed[queue]);
        // Read after the unlinking: an event that is sent or unmasked from now on is linked again,
        // so none is lost.
        if word.is_deliverable() {
            deliver(port);
        }
        link
    }
}

/// Increments a counter, which only one CPU writes.
#[inline(always)]
fn increment(count: &AtomicU64) {
    count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
}

/// State of a queue, read while others may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueState {
    /// True if the ready bit of the queue is set.
    pub(crate) ready: bool,
    /// Head that the hypervisor has set last; outdated if the queue is empty.
    pub(crate) head: u32,
    /// Next link to follow; 0 for the head.
    pub(crate) next: u32,
    /// Number of events taken out since boot.
    pub(crate) consumed: u64,
}

impl Queues {
    /// Returns the state of the queue of one priority.
    pub(crate) fn state<A: SharedWord>(
        &self,
        block: &ControlBlock<'_, A>,
        priority: Priority,
    ) -> QueueState {
        let queue = priority.index();
        QueueState {
            ready: block.ready().load() & (1 << queue) != 0,
            head: block.head(priority).load(),
            next: self.next[queue].load(Relaxed),
            consumed: self.counts.consumed[queue].load(Relaxed),
        }
    }

    /// Returns the number of heads and links that named no event word since boot.
    pub(crate) fn astray(&self) -> u64 {
        self.counts.astray.load(Relaxed)
    }
}
