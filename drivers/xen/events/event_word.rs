// SPDX-License-Identifier: GPL-2.0

//! The event word: the state of one event channel, which the guest and the hypervisor share.
//!
//! ```text
//!   bit  31       30      29      28    27 ... 17   16 ... 0
//!       PENDING  MASKED  LINKED  BUSY   reserved    LINK
//! ```
//!
//! `PENDING`: an event was sent and not yet acknowledged. `MASKED`: the guest wants none delivered.
//! `LINKED`: the word is in a queue, and `LINK` is the port after it, 0 at the tail. `BUSY`: the
//! hypervisor is about to write `LINK` and asks the guest not to unmask meanwhile.
//!
//! Both sides change a word at the same time, so each change is one atomic operation on the whole
//! of it. What the guest may do to a word in a queue is limited: mask, unmask, clear `PENDING`, and
//! unlink. The hypervisor relies on that when it tries to set a link a bounded number of times.
//!
//! Nothing in here knows the kernel: the same file is compiled on the host, with atomics that a
//! model checker looks into.
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

/// An event channel's number in this domain.
///
/// # Invariants
///
/// Less than [`Port::LIMIT`], and not 0, which no channel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct Port(NonZeroU32);

impl Port {
    /// Ports are less than this, as that is what fits a link (C: `EVTCHN_FIFO_NR_CHANNELS`).
    pub(crate) const LIMIT: u32 = 1 << LINK_BITS;

    /// The port `number`, if there can be one.
    #[inline(always)]
    pub(crate) fn new(number: u32) -> Option<Self> {
        if number < Self::LIMIT {
            // INVARIANT: We just checked the one, and `NonZeroU32::new` the other.
            NonZeroU32::new(number).map(Self)
        } else {
            None
        }
    }

    /// The port that a link or a queue's head names; none at the end of a queue. Bits that cannot
    /// belong to a port are left out.
    #[inline(always)]
    pub(crate) fn from_link(link: u32) -> Option<Self> {
        // INVARIANT: The mask is that of all ports.
        NonZeroU32::new(link & LINK).map(Self)
    }

    /// The number.
    #[inline(always)]
    pub(crate) fn number(self) -> u32 {
        self.0.get()
    }
}

/// Whether [`EventWord::unmask_unless_pending`] did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmask {
    /// The event is not masked (any more).
    Done,
    /// The event is masked and pending. The hypervisor has to unmask it, and puts it in a queue.
    LeftToHypervisor,
}

/// The word of one event channel. See the description of this file.
pub(crate) struct EventWord<'a, A>(&'a A);

impl<'a, A: SharedWord> EventWord<'a, A> {
    /// The event word that `word` is.
    #[inline(always)]
    pub(crate) fn new(word: &'a A) -> Self {
        Self(word)
    }

    /// Makes the word that of a masked event channel in no queue. The hypervisor must not know it
    /// yet.
    pub(crate) fn reset(&self) {
        self.0.store(MASKED);
    }

    /// Makes the event pending, as if it had been sent. It is not put into a queue.
    pub(crate) fn set_pending(&self) {
        self.0.set_bits(PENDING);
    }

    /// Acknowledges the event: the next one that is sent is a new one.
    pub(crate) fn clear_pending(&self) {
        self.0.clear_bits(PENDING);
    }

    /// Whether an event was sent that is not yet acknowledged.
    pub(crate) fn is_pending(&self) -> bool {
        self.0.load() & PENDING != 0
    }

    /// Keeps events from being delivered. One that is in a queue stays there.
    pub(crate) fn mask(&self) {
        self.0.set_bits(MASKED);
    }

    /// Whether the event would be delivered if its turn came now.
    #[inline(always)]
    pub(crate) fn is_deliverable(&self) -> bool {
        self.0.load() & (PENDING | MASKED) == PENDING
    }

    /// Unmasks the event if none is pending.
    ///
    /// One that is pending may be in no queue: the hypervisor links no masked event, and the guest
    /// may have unlinked it while it was masked. Only the hypervisor can put it into one. That
    /// none is pending and that it gets unmasked must be one step, or an event that is sent
    /// in between would be lost.
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

    /// Takes the word out of the queue that it is the head of, and returns the link to the next
    /// one: see [`Port::from_link`].
    ///
    /// Reading the link and clearing `LINKED` are one step. Between two, the hypervisor could link
    /// another event to this one, and nobody would ever find it.
    #[inline(always)]
    pub(crate) fn unlink(&self) -> u32 {
        let mut seen = self.0.load();
        loop {
            match self.0.compare_exchange(seen, seen & !(LINKED | LINK)) {
                Ok(()) => return seen & LINK,
                Err(now) => seen = now,
            }
        }
    }

    /// Looks at all of the word at once.
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

/// What somebody sees who looks at an event word while others change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WordState {
    /// An event was sent that is not yet acknowledged.
    pub(crate) pending: bool,
    /// Events are not delivered.
    pub(crate) masked: bool,
    /// The word is in a queue.
    pub(crate) linked: bool,
    /// The port after it in the queue; 0 at the tail, and outside of a queue.
    pub(crate) link: u32,
}

impl WordState {
    /// Whether this is how [`EventWord::reset`] leaves a word.
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
