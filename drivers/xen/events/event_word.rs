// SPDX-License-Identifier: GPL-2.0

//! Event words: the state of one event channel, which the guest and the hypervisor share.
//!
//! ```text
//!   bit  31       30      29      28    27 ... 17   16 ... 0
//!       PENDING  MASKED  LINKED  BUSY   reserved    LINK
//! ```
//!
//! `PENDING`: an event was sent and not yet acknowledged. `MASKED`: the guest does not want events
//! to be delivered. `LINKED`: the word is in a queue, and `LINK` is the next port, 0 at the tail.
//! `BUSY`: the hypervisor is about to write `LINK` and asks the guest not to unmask meanwhile.
//!
//! Both sides change a word concurrently, so each change is one atomic operation on the whole word.
//! The guest may change a word in a queue in four ways only: mask, unmask, clear `PENDING`, and
//! unlink. The hypervisor relies on that when it tries to set a link a bounded number of times.
//!
//! The code does not depend on the kernel: the same file is compiled on the host, with the atomics
//! of a model checker.
//!
//! Xen header: `include/xen/interface/event_channel.h`.

#![forbid(unsafe_code)]

use crate::xen::event::locked_word::SharedWord;
use core::num::NonZeroU32;

const PENDING: u32 = 1 << 31;
const MASKED: u32 = 1 << 30;
const LINKED: u32 = 1 << 29;
const BUSY: u32 = 1 << 28;
const LINK_BITS: u32 = 17;
const LINK: u32 = (1 << LINK_BITS) - 1;

/// Number of an event channel in this domain.
///
/// # Invariants
///
/// Less than [`Port::LIMIT`], and not 0, which is not used by any channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct Port(NonZeroU32);

impl Port {
    /// Limit of port numbers, which must fit in a link (C: `EVTCHN_FIFO_NR_CHANNELS`).
    pub(crate) const LIMIT: u32 = 1 << LINK_BITS;

    /// Returns the port `number`, if it is valid.
    #[inline(always)]
    pub(crate) fn new(number: u32) -> Option<Self> {
        if number < Self::LIMIT {
            // INVARIANT: The limit was just checked, and `NonZeroU32::new` excludes 0.
            NonZeroU32::new(number).map(Self)
        } else {
            None
        }
    }

    /// Returns the port that a link or the head of a queue names, or `None` at the end of a queue.
    /// Bits outside of the link are ignored.
    #[inline(always)]
    pub(crate) fn from_link(link: u32) -> Option<Self> {
        // INVARIANT: The mask limits the number to valid ports.
        NonZeroU32::new(link & LINK).map(Self)
    }

    /// Returns the number.
    #[inline(always)]
    pub(crate) fn number(self) -> u32 {
        self.0.get()
    }
}

/// Result of [`EventWord::unmask_unless_pending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmask {
    /// The event is not masked.
    Done,
    /// The event is masked and pending. The hypervisor must unmask it and put it into a queue.
    LeftToHypervisor,
}

/// Word of one event channel. See the description of this file.
pub(crate) struct EventWord<'a, A>(&'a A);

impl<'a, A: SharedWord> EventWord<'a, A> {
    /// Wraps the word of an event channel.
    #[inline(always)]
    pub(crate) fn new(word: &'a A) -> Self {
        Self(word)
    }

    /// Initializes the word for a masked event channel that is in no queue. The hypervisor must not
    /// know it yet.
    pub(crate) fn reset(&self) {
        self.0.store(MASKED);
    }

    /// Makes the event pending, as if it had been sent, without putting it into a queue.
    pub(crate) fn set_pending(&self) {
        self.0.set_bits(PENDING);
    }

    /// Acknowledges the event: the next one that is sent is a new one.
    pub(crate) fn clear_pending(&self) {
        self.0.clear_bits(PENDING);
    }

    /// Returns true if an event was sent and not yet acknowledged.
    pub(crate) fn is_pending(&self) -> bool {
        self.0.load() & PENDING != 0
    }

    /// Masks the event, so that it is not delivered. An event that is in a queue stays there.
    pub(crate) fn mask(&self) {
        self.0.set_bits(MASKED);
    }

    /// Returns true if the event would be delivered now.
    #[inline(always)]
    pub(crate) fn is_deliverable(&self) -> bool {
        self.0.load() & (PENDING | MASKED) == PENDING
    }

    /// Unmasks the event if none is pending.
    ///
    /// A pending event may be in no queue: the hypervisor links no masked event, and the guest may
    /// have unlinked it while it was masked. Only the hypervisor can put it into one. The check and
    /// the unmasking must be one step, or an event that is sent in between would be lost.
    ///
    /// Waits while the word is `BUSY`, which the hypervisor ends after a few instructions.
    pub(crate) fn unmask_unless_pending(&self) -> Unmask {
        let mut seen = self.0.load();
        loop {
            if seen & MASKED == 0 {
                return Unmask::Done;
            }
            if seen & PENDING != 0 {
                return Unmask::LeftToHypervisor;
            }
            if seen & BUSY != 0 {
                A::relax();
                seen = self.0.load();
                continue;
            }
            match self.0.compare_exchange(seen, seen & !MASKED) {
                Ok(()) => return Unmask::Done,
                Err(now) => seen = now,
            }
        }
    }

    /// Takes the word out of the queue that it is the head of, and returns the place that it had
    /// there.
    ///
    /// Reading the link and clearing `LINKED` are one step. Between two steps the hypervisor could
    /// link another event to this one, which would be lost.
    #[inline(always)]
    pub(crate) fn unlink(&self) -> Place {
        let mut seen = self.0.load();
        loop {
            match self.0.compare_exchange(seen, seen & !(LINKED | LINK)) {
                Ok(()) => return Place(seen & (LINKED | LINK)),
                Err(now) => seen = now,
            }
        }
    }

    /// Returns the state, read with one access.
    pub(crate) fn state(&self) -> WordState {
        let word = self.0.load();
        WordState {
            pending: word & PENDING != 0,
            masked: word & MASKED != 0,
            linked: word & LINKED != 0,
            link: word & LINK,
        }
    }
}

/// Place of an event word in its queue: the bits `LINKED` and `LINK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Place(u32);

impl Place {
    /// True if the word was the last one of its queue.
    #[inline(always)]
    pub(crate) fn is_tail(self) -> bool {
        self.0 == LINKED
    }

    /// True if the word was in no queue.
    #[inline(always)]
    pub(crate) fn is_nowhere(self) -> bool {
        self.0 < LINKED
    }

    /// The link to the next word with bits that [`Port::from_link`] leaves out; the rest is 0 at
    /// the tail.
    #[inline(always)]
    pub(crate) fn link(self) -> u32 {
        self.0
    }
}

/// State of an event word, read while others may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WordState {
    /// True if an event was sent and not yet acknowledged.
    pub(crate) pending: bool,
    /// True if events are not delivered.
    pub(crate) masked: bool,
    /// True if the word is in a queue.
    pub(crate) linked: bool,
    /// Next port in the queue; 0 at the tail, and outside of a queue.
    pub(crate) link: u32,
}

impl WordState {
    /// Returns true for the state after [`EventWord::reset`].
    pub(crate) fn is_unused(self) -> bool {
        let unused = Self {
            pending: false,
            masked: true,
            linked: false,
            link: 0,
        };
        self == unused
    }
}
