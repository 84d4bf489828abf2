// SPDX-License-Identifier: GPL-2.0

//! The event array: the event words of all ports, in pages that the hypervisor is told of one by
//! one, as ports are used that need them.
//!
//! A page stays for ever once the hypervisor knows it. After the domain was restored the hypervisor
//! is another one and knows none: the same pages are handed over again, as before when they are
//! needed.

#![forbid(unsafe_code)]

use crate::{
    event_word::{
        EventWord,
        Port, //
    },
    xen::event::{
        hypervisor::Hypervisor,
        shared_page::{
            PublishedPage,
            Refused,
            SharedPage,
            SharedWords,
            WORDS_PER_PAGE, //
        }, //
    },
};
use core::sync::atomic::{
    AtomicU32,
    Ordering::Relaxed, //
};
use kernel::prelude::*;

/// How many pages the words of all ports take.
pub(crate) const MAX_PAGES: usize = Port::LIMIT as usize / WORDS_PER_PAGE;

/// The event array of this domain.
pub(crate) struct EventArray {
    pages: [PublishedPage; MAX_PAGES],
    /// How many pages, from the first one on, the hypervisor knows.
    known: AtomicU32,
}

impl EventArray {
    /// An array without pages.
    pub(crate) const fn new() -> Self {
        Self {
            pages: [const { PublishedPage::empty() }; MAX_PAGES],
            known: AtomicU32::new(0),
        }
    }

    /// The word of `port`; none if its page was never there.
    #[inline(always)]
    pub(crate) fn word(&self, port: Port) -> Option<EventWord<'_, AtomicU32>> {
        let number = port.number() as usize;
        let words = self.pages.get(number / WORDS_PER_PAGE)?.get()?;
        Some(EventWord::new(&words[number % WORDS_PER_PAGE]))
    }

    /// How many pages the hypervisor knows.
    pub(crate) fn page_count(&self) -> usize {
        self.known.load(Relaxed) as usize
    }

    /// Sees to it that the hypervisor knows the page of `port`'s word, and all pages before that.
    /// The words of a new page are masked. May sleep, unless interrupts are disabled: the ports of
    /// physical interrupts are set up while their descriptors are locked. Can be called by several
    /// CPUs at a time.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of the hypervisor. What was added before stays. The page that failed is
    /// freed; one that is handed over again stays here for the next time, as ports of it were in
    /// use once.
    pub(crate) fn grow(&self, port: Port, hypervisor: &mut impl Hypervisor) -> Result {
        let wanted = port.number() as usize / WORDS_PER_PAGE + 1;
        for index in self.page_count()..wanted {
            let slot = self.pages.get(index).ok_or(EINVAL)?;
            // Nothing is allocated or freed while the others wait.
            let mut new = if slot.is_empty() {
                Some(hypervisor.new_page()?)
            } else {
                None
            };
            hypervisor.alone(|hypervisor| -> Result {
                // Another CPU may have been faster.
                if self.page_count() != index {
                    return Ok(());
                }
                Self::add_page(slot, &mut new, hypervisor)?;
                self.known.fetch_add(1, Relaxed);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Forgets what the hypervisor knows, because it is another one.
    pub(crate) fn restart(&self) {
        self.known.store(0, Relaxed);
    }

    /// Takes the page in `new` only if it is handed over.
    fn add_page(
        slot: &PublishedPage,
        new: &mut Option<SharedPage>,
        hypervisor: &mut impl Hypervisor,
    ) -> Result {
        let Some(page) = new.take() else {
            return slot.hand_over_again(|page| {
                mask_all(&page);
                hypervisor.expand_array(page)
            });
        };
        mask_all(&page);
        slot.hand_over(page, |page| hypervisor.expand_array(page))
            .map_err(|Refused { page, error }| {
                *new = Some(page);
                error
            })
    }
}

/// No event may be put into a queue before somebody is there who handles it.
fn mask_all(words: &SharedWords) {
    for word in words {
        EventWord::new(word).reset();
    }
}
