// SPDX-License-Identifier: GPL-2.0

//! Event array: the event words of all ports, in pages that are registered with the hypervisor one
//! by one, when a port needs one.
//!
//! A registered page is never freed. After a restore of the domain the hypervisor is another one
//! and knows no page: the same pages are registered again, also when a port needs one.

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

/// Number of pages for the words of all ports.
pub(crate) const MAX_PAGES: usize = Port::LIMIT as usize / WORDS_PER_PAGE;

/// Event array of this domain.
pub(crate) struct EventArray {
    pages: [PublishedPage; MAX_PAGES],
    /// Number of pages, from the first one on, that the hypervisor knows.
    known: AtomicU32,
}

impl EventArray {
    /// Makes an array without pages.
    pub(crate) const fn new() -> Self {
        Self {
            pages: [const { PublishedPage::empty() }; MAX_PAGES],
            known: AtomicU32::new(0),
        }
    }

    /// Returns the word of `port`, or `None` if its page does not exist.
    #[inline(always)]
    pub(crate) fn word(&self, port: Port) -> Option<EventWord<'_, AtomicU32>> {
        let number = port.number() as usize;
        let words = self.pages.get(number / WORDS_PER_PAGE)?.get()?;
        Some(EventWord::new(&words[number % WORDS_PER_PAGE]))
    }

    /// Returns the number of pages that the hypervisor knows.
    pub(crate) fn page_count(&self) -> usize {
        self.known.load(Relaxed) as usize
    }

    /// Makes sure that the hypervisor knows the page of the word of `port`, and all pages before
    /// that. The words of a new page are masked. May sleep, unless interrupts are disabled: the
    /// ports of physical interrupts are set up while their descriptors are locked. May be called
    /// concurrently.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of the hypervisor. Pages that were added before stay. A new page that is
    /// refused is freed; a page that is refused after a restore stays for the next attempt, because
    /// ports of it were in use.
    pub(crate) fn grow(&self, port: Port, hypervisor: &mut impl Hypervisor) -> Result {
        let wanted = port.number() as usize / WORDS_PER_PAGE + 1;
        for index in self.page_count()..wanted {
            let slot = self.pages.get(index).ok_or(EINVAL)?;
            // Nothing is allocated or freed while the array is locked.
            let mut new = if slot.is_empty() {
                Some(hypervisor.new_page()?)
            } else {
                None
            };
            hypervisor.alone(|hypervisor| -> Result {
                // Another CPU may have added the page meanwhile.
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

    /// Marks all pages as unknown to the hypervisor, which is another one.
    pub(crate) fn restart(&self) {
        self.known.store(0, Relaxed);
    }

    /// Takes the page out of `new` only if the hypervisor accepts it.
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

/// Masks all words: no event may be put into a queue before its interrupt has a handler.
fn mask_all(words: &SharedWords) {
    for word in words {
        EventWord::new(word).reset();
    }
}
