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
        atomic::{
            AtomicU32,
            Ordering::{
                Acquire,
                Relaxed,
                Release, //
            },
        },
        hypervisor::Hypervisor,
        shared_page::{
            PublishedPage,
            Refused,
            SharedWords,
            WORDS_PER_PAGE, //
        }, //
    },
};
use kernel::prelude::*;

/// Number of pages for the words of all ports.
pub(crate) const MAX_PAGES: usize = Port::LIMIT as usize / WORDS_PER_PAGE;

/// Event array of this domain.
pub(crate) struct EventArray {
    pages: [PublishedPage; MAX_PAGES],
    /// Number of pages, from the first one on, that the hypervisor knows. A CPU that acquires it
    /// finds them, with their words masked.
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
        self.known.load(Acquire) as usize
    }

    /// Makes sure that the hypervisor knows the page of the word of `port`, and all pages before
    /// that. The words of a new page are masked. Never sleeps, as the ports of physical interrupts
    /// are set up under a raw spinlock, that of the interrupt's descriptor. May be called
    /// concurrently.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no page that can be had without sleeping, and those of the hypervisor.
    /// Pages that were added before stay. A new page that is refused goes back to the reserve; a
    /// page that is refused after a restore stays for the next attempt, because ports of it were in
    /// use.
    pub(crate) fn grow(&self, port: Port, hypervisor: &mut impl Hypervisor) -> Result {
        let wanted = port.number() as usize / WORDS_PER_PAGE + 1;
        // The count may become less meanwhile, when the domain is restored.
        while self.page_count() < wanted {
            hypervisor.alone(|hypervisor| self.add_page(wanted, hypervisor))?;
        }
        Ok(())
    }

    /// Marks all pages as unknown to the hypervisor, which is another one.
    pub(crate) fn restart(&self) {
        self.known.store(0, Relaxed);
    }

    /// Adds one page, unless other CPUs have added so many as are wanted. No other CPU may do it at
    /// the same time.
    fn add_page(&self, wanted: usize, hypervisor: &mut impl Hypervisor) -> Result {
        let index = self.page_count();
        if index >= wanted {
            return Ok(());
        }
        let slot = self.pages.get(index).ok_or(EINVAL)?;
        if slot.is_empty() {
            let page = hypervisor.take_page().ok_or(ENOMEM)?;
            mask_all(&page);
            let handed_over = slot.hand_over(page, |page| hypervisor.expand_array(page));
            handed_over.map_err(|Refused { page, error }| {
                hypervisor.put_page(page);
                error
            })?;
        } else {
            slot.hand_over_again(|page| {
                mask_all(&page);
                hypervisor.expand_array(page)
            })?;
        }
        self.known.fetch_add(1, Release);
        Ok(())
    }
}

/// Masks all words: no event may be put into a queue before its interrupt has a handler.
fn mask_all(words: &SharedWords) {
    for word in words {
        EventWord::new(word).reset();
    }
}
