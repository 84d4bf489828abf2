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
//! A head or a link that was overwritten ends its queue for good. The words behind it cannot be
//! found, so they stay linked. The hypervisor, whose tail is one of them, appends each new event to
//! it and sets neither a head nor a ready bit any more. There is no operation that resets one
//! queue, so the caller is told once for each queue, and can only say so.
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

/// Position of the guest in one queue, and the counters of that queue.
///
/// The counter of events shares a cache line with the position, which is written for each event in
/// any case.
#[repr(align(16))]
struct Position {
    /// Number of events that were taken out since boot, with those that had been masked or
    /// acknowledged before their turn came.
    consumed: AtomicU64,
    /// The next link to follow; the control block has it if this names no port.
    next: AtomicU32,
    /// Number of heads and links since boot that led out of the queue.
    astray: AtomicU32,
}

impl Position {
    /// Position in a queue from which no event was taken yet.
    const fn new() -> Self {
        Self {
            consumed: AtomicU64::new(0),
            next: AtomicU32::new(0),
            astray: AtomicU32::new(0),
        }
    }
}

/// A queue that was found to lead out of itself, and has ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Astray {
    /// Priority of the queue.
    pub(crate) priority: Priority,
    /// Port that the head or the link names, which has no event word, or one that is in no queue;
    /// [`None`] if the head names no port.
    pub(crate) port: Option<Port>,
}

/// Positions of the guest in the queues of one vCPU, and their counters.
///
/// Only one CPU at a time may consume: the vCPU itself, or the CPU that drains the queues after it
/// has gone offline. Others may read the state.
pub(crate) struct Queues([Position; PRIORITIES]);

impl Queues {
    /// Makes the state of queues from which nothing has been taken.
    pub(crate) const fn new() -> Self {
        Self([const { Position::new() }; PRIORITIES])
    }

    /// Resets the positions after the control block was reset.
    pub(crate) fn restart(&self) {
        for position in &self.0 {
            position.next.store(0, Relaxed);
        }
    }

    /// Takes all events out of the queues and calls `deliver` with those that are pending and not
    /// masked. After each event it continues with the first priority that has events.
    ///
    /// `word` finds the event word of a port. `astray` is called at the first head or link of a
    /// queue that leads out of it, which is the end of that queue.
    #[inline(always)]
    pub(crate) fn consume<'a, A: SharedWord + 'a>(
        &self,
        block: &ControlBlock<'_, A>,
        word: impl Fn(Port) -> Option<EventWord<'a, A>>,
        mut deliver: impl FnMut(Port),
        mut astray: impl FnMut(Astray),
    ) {
        // The first read has to be a swap, even if it finds nothing. The caller has announced it by
        // clearing the upcall flag. The swap orders it against the hypervisor, which sets a ready
        // bit, finds the flag cleared and sends another upcall.
        let mut ready = ReadySet::take(block.ready());
        while let Some(priority) = ready.first() {
            if !self.consume_one(block, priority, &word, &mut deliver, &mut astray) {
                ready.remove(priority);
            }
            // A bit that is set after this read comes with another upcall.
            if block.ready().load() != 0 {
                ready.add(ReadySet::take(block.ready()));
            }
        }
    }

    /// Takes the first event out of one queue, and returns whether there is a next one.
    #[inline(always)]
    fn consume_one<'a, A: SharedWord + 'a>(
        &self,
        block: &ControlBlock<'_, A>,
        priority: Priority,
        word: impl Fn(Port) -> Option<EventWord<'a, A>>,
        deliver: &mut impl FnMut(Port),
        astray: &mut impl FnMut(Astray),
    ) -> bool {
        let queue = priority.index();
        let position = &self.0[queue];
        let mut first = Port::from_link(position.next.load(Relaxed));
        if first.is_none() {
            // The last word marked the queue as empty. The head must not be read before that.
            A::read_barrier();
            first = Port::from_link(block.head(priority).load());
        }
        let found = first.and_then(|port| Some((port, word(port)?)));
        let Some((port, word)) = found else {
            self.lead_astray(queue, first, astray);
            return false;
        };
        let place = word.unlink();
        position.next.store(place.link(), Relaxed);
        increment(&position.consumed);
        // Read after the unlinking: an event that is sent or unmasked from now on is linked again,
        // so none is lost.
        if word.is_deliverable() {
            deliver(port);
        }
        if place.is_tail() {
            return false;
        }
        if place.is_nowhere() {
            self.lead_astray(queue, Some(port), astray);
            return false;
        }
        true
    }

    /// Gives up the queue of a priority: its head or a link is bad, and names `port`.
    #[cold]
    #[inline(never)]
    fn lead_astray(&self, queue: usize, port: Option<Port>, astray: &mut impl FnMut(Astray)) {
        let priority = Priority(queue as u32);
        let position = &self.0[priority.index()];
        position.next.store(0, Relaxed);
        let before = position.astray.load(Relaxed);
        position.astray.store(before.saturating_add(1), Relaxed);
        if before == 0 {
            astray(Astray { priority, port });
        }
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
        let position = &self.0[priority.index()];
        let next = Port::from_link(position.next.load(Relaxed));
        QueueState {
            ready: block.ready().load() & (1 << priority.index()) != 0,
            head: block.head(priority).load(),
            next: next.map_or(0, Port::number),
            consumed: position.consumed.load(Relaxed),
        }
    }

    /// Number of heads and links of all queues since boot that led out of their queue.
    pub(crate) fn astray(&self) -> u64 {
        let astray = |position: &Position| u64::from(position.astray.load(Relaxed));
        self.0.iter().map(astray).sum()
    }
}
