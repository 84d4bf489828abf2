// SPDX-License-Identifier: GPL-2.0

//! Operations on event words by port numbers, which the callers have not checked.
//!
//! A port without an event word is one that [`EventArray::set_up`] did not accept. No caller passes
//! such a port; if one did, nothing would happen.

#![forbid(unsafe_code)]

use crate::{
    event_array::EventArray,
    event_word::{
        EventWord,
        Port,
        Unmask, //
    },
    xen::event::{
        atomic::AtomicU32,
        hypervisor::Hypervisor, //
    },
};
use kernel::prelude::*;

/// Port number of an interrupt that has no port yet, such as a physical one.
const NO_PORT: u32 = 0;

impl EventArray {
    #[inline(always)]
    fn word_of(&self, number: u32) -> Option<EventWord<'_, AtomicU32>> {
        self.word(Port::new(number)?)
    }

    /// Makes sure that the port has a word: see [`Self::grow`].
    ///
    /// # Errors
    ///
    /// `EINVAL` if the number is that of no port, and those of [`Self::grow`].
    pub(crate) fn set_up(&self, number: u32, hypervisor: &mut impl Hypervisor) -> Result {
        if number == NO_PORT {
            return Ok(());
        }
        let result = self.grow(Port::new(number).ok_or(EINVAL)?, hypervisor);
        if let Err(error) = result {
            if self.page_count() == 0 {
                hypervisor.stop_without_array(error);
            }
            pr_err!("no page for the event word of port {number}: {error:?}\n");
        }
        result
    }

    /// Acknowledges the event.
    pub(crate) fn clear_pending(&self, number: u32) {
        if let Some(word) = self.word_of(number) {
            word.clear_pending();
        }
    }

    /// Makes the event pending; it must be masked.
    pub(crate) fn set_pending(&self, number: u32) {
        if let Some(word) = self.word_of(number) {
            word.set_pending();
        }
    }

    /// Returns true if the event is pending.
    pub(crate) fn is_pending(&self, number: u32) -> bool {
        self.word_of(number).is_some_and(|word| word.is_pending())
    }

    /// Masks the event, so that it is not delivered.
    pub(crate) fn mask(&self, number: u32) {
        if let Some(word) = self.word_of(number) {
            word.mask();
        }
    }

    /// Unmasks the event, and has it delivered if it is pending.
    pub(crate) fn unmask(&self, number: u32, hypervisor: &mut impl Hypervisor) {
        let left = |word: EventWord<'_, AtomicU32>| {
            word.unmask_unless_pending() == Unmask::LeftToHypervisor
        };
        if self.word_of(number).is_some_and(left) {
            hypervisor.unmask(number);
        }
    }
}
