// SPDX-License-Identifier: GPL-2.0

//! The queues of one vCPU: one for each priority, each a list of event words.
//!
//! The hypervisor appends at the tail, which only it knows. The guest takes from the head. The
//! control block, one for each vCPU and shared, has the head of each queue that was empty before,
//! and a bit for each queue that has become non-empty. Where the guest is in a queue that it has
//! begun with is the guest's own business:
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
//! bit. So the head is read when a ready bit was seen, and not before the link that said that the
//! queue was empty. Nothing in here knows the kernel, as in `event_word.rs`.
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

/// How many priorities there are (C: `EVTCHN_FIFO_MAX_QUEUES`).
pub(crate) const PRIORITIES: usize = 16;

/// Which of a vCPU's queues; the lowest number is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct Priority(u32);

impl Priority {
    /// All priorities, from the first to be served to the last.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..PRIORITIES as u32).map(Self)
    }

    /// The number, which is less than [`PRIORITIES`].
    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        // The mask changes nothing. It tells the compiler that no array access can fail.
        (self.0 % PRIORITIES as u32) as usize
    }
}

/// A set of priorities, as the ready word of a control block has it.
#[derive(Clone, Copy)]
struct ReadySet(u32);

impl ReadySet {
    /// Takes all bits out of `word`. The hypervisor sets a bit after it wrote the head of that
    /// queue, so what is read of the heads after this is at least as new.
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

/// What a vCPU shares with the hypervisor (C: `struct evtchn_fifo_control_block`).
pub(crate) struct ControlBlock<'a, A>(&'a [A; CONTROL_BLOCK_WORDS]);

/// How many words a control block has: the ready bits, a reserved one, and the heads.
pub(crate) const CONTROL_BLOCK_WORDS: usize = FIRST_HEAD + PRIORITIES;
const FIRST_HEAD: usize = 2;

impl<'a, A: SharedWord> ControlBlock<'a, A> {
    /// The control block that `words` are.
    #[inline(always)]
    pub(crate) fn new(words: &'a [A; CONTROL_BLOCK_WORDS]) -> Self {
        Self(words)
    }

    /// A bit for each priority whose queue has become non-empty.
    #[inline(always)]
    fn ready(&self) -> &'a A {
        &self.0[0]
    }

    /// The first port of a queue, from when its ready bit was set to when that port is unlinked.
    #[inline(always)]
    fn head(&self, priority: Priority) -> &'a A {
        &self.0[FIRST_HEAD + priority.index()]
    }

    /// Makes the block that of empty queues. The hypervisor must not know it yet.
    pub(crate) fn reset(&self) {
        for word in self.0 {
            word.store(0);
        }
    }
}

/// How many events were taken out of the queues of a vCPU since boot.
struct Counts {
    /// By priority; also those that had been masked or acknowledged before their turn came.
    consumed: [AtomicU64; PRIORITIES],
    /// Heads and links that named no event word.
    astray: AtomicU64,
}

/// Where the guest is in the queues of one vCPU, and what it counted there.
///
/// Only one CPU at a time consumes: the vCPU itself, or whoever drains the queues after it went
/// offline. Others may look on.
pub(crate) struct Queues {
    /// The next link to follow; 0 if the control block has it.
    next: [AtomicU32; PRIORITIES],
    counts: Counts,
}

impl Queues {
    /// Queues that nobody has begun with.
    pub(crate) const fn new() -> Self {
        Self {
            next: [const { AtomicU32::new(0) }; PRIORITIES],
            counts: Counts {
                consumed: [const { AtomicU64::new(0) }; PRIORITIES],
                astray: AtomicU64::new(0),
            },
        }
    }

    /// Forgets where it was in the queues: the control block was reset.
    pub(crate) fn restart(&self) {
        for next in &self.next {
            next.store(0, Relaxed);
        }
    }

    /// Takes all events out of the queues and calls `deliver` with those that are pending and not
    /// masked. After each one it starts over with the first priority that has events.
    ///
    /// `word` finds the event word of a port; if there is none, the rest of that queue is given up
    /// until the hypervisor sets another head.
    #[inline(always)]
    pub(crate) fn consume<'a, A: SharedWord + 'a>(
        &self,
        block: &ControlBlock<'_, A>,
        word: impl Fn(Port) -> Option<EventWord<'a, A>>,
        mut deliver: impl FnMut(Port),
    ) {
        // The first look has to be a swap, even if it finds nothing. The caller has said before
        // that it is going to look, by clearing the upcall flag. The swap tells the hypervisor:
        // who sets a ready bit after it sees the flag cleared and sends another upcall.
        let mut ready = ReadySet::take(block.ready());
        while let Some(priority) = ready.first() {
            if self.consume_one(block, priority, &word, &mut deliver) == 0 {
                ready.remove(priority);
            }
            // What this misses, the upcall that comes with it will find.
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
            // The queue was empty before, which its last word told. The head must not be older.
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
        // Looked at after the unlinking: an event that is sent or unmasked from now on is linked
        // again, so what is left here is not lost.
        if word.is_deliverable() {
            deliver(port);
        }
        link
    }
}

/// Adds one. There is only one who writes.
#[inline(always)]
fn increment(count: &AtomicU64) {
    count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
}

/// What somebody sees who looks at a queue while others work on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueState {
    /// Whether the hypervisor says that there are events.
    pub(crate) ready: bool,
    /// The head that the hypervisor has set last; stale if the queue is empty.
    pub(crate) head: u32,
    /// Where the guest goes on; 0 for the head.
    pub(crate) next: u32,
    /// How many events were taken out since boot.
    pub(crate) consumed: u64,
}

impl Queues {
    /// Looks at the queue of one priority.
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

    /// How many heads and links named no event word since boot.
    pub(crate) fn astray(&self) -> u64 {
        self.counts.astray.load(Relaxed)
    }
}
