// SPDX-License-Identifier: GPL-2.0

//! Pages that the guest shares with the hypervisor, in place of `shared_page.rs` of the kernel.
//!
//! A page has few words: those of a control block, and of more ports than a test has. A published
//! page becomes visible as in the kernel, by a store that releases and a load that acquires.

use crate::{
    atomic::{is_exploring, AtomicU32},
    prelude::{Error, Result, EEXIST, ENOENT},
};
use std::{
    ops::Deref,
    sync::{
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
        Arc, OnceLock,
    },
};

/// Number of words of a page.
pub(crate) const WORDS_PER_PAGE: usize = 512;

/// Words of a page.
pub(crate) type SharedWords = [AtomicU32; WORDS_PER_PAGE];

/// A page of zeroes that the hypervisor does not know.
pub(crate) struct SharedPage(Arc<SharedWords>);

impl SharedPage {
    /// A new page.
    pub(crate) fn new() -> Self {
        // A thread of the model checker has a small stack, so the words are made where they stay.
        let words: Box<[AtomicU32]> = (0..WORDS_PER_PAGE).map(|_| AtomicU32::new(0)).collect();
        let words: Result<Box<SharedWords>, _> = words.try_into();
        Self(Arc::from(words.ok().expect("the number of words")))
    }
}

impl Deref for SharedPage {
    type Target = SharedWords;

    fn deref(&self) -> &SharedWords {
        &self.0
    }
}

/// A place where CPUs find a page that the hypervisor knows.
pub(crate) struct PublishedPage(OnceLock<Box<Place>>);

/// State of such a place.
struct Place {
    page: OnceLock<Arc<SharedWords>>,
    is_visible: AtomicU32,
    /// The page was put here before the test's threads began, so that a look at it is no step that
    /// a model checker has to know.
    was_here: AtomicBool,
}

impl PublishedPage {
    /// A place without a page.
    pub(crate) const fn empty() -> Self {
        Self(OnceLock::new())
    }

    fn place(&self) -> &Place {
        let empty = || {
            Box::new(Place {
                page: OnceLock::new(),
                is_visible: AtomicU32::new(0),
                was_here: AtomicBool::new(false),
            })
        };
        self.0.get_or_init(empty)
    }

    fn found(&self) -> Option<&Arc<SharedWords>> {
        let place = self.place();
        if place.was_here.load(Relaxed) || place.is_visible.by_xen().load_with(Acquire) != 0 {
            place.page.get()
        } else {
            None
        }
    }

    /// The words of the page that is here.
    pub(crate) fn get(&self) -> Option<&SharedWords> {
        self.found().map(|page| &**page)
    }

    /// True if no page is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.found().is_none()
    }

    /// Hands a page over by `tell` and puts it here.
    pub(crate) fn hand_over(
        &self,
        page: SharedPage,
        tell: impl FnOnce(HandedOver<'_>) -> Result,
    ) -> Result<(), Refused> {
        let told = if self.is_empty() {
            tell(HandedOver(&page.0))
        } else {
            Err(EEXIST)
        };
        if let Err(error) = told {
            return Err(Refused { page, error });
        }
        let place = self.place();
        assert!(place.page.set(page.0).is_ok(), "two CPUs put a page here");
        place.was_here.store(!is_exploring(), Relaxed);
        place.is_visible.by_xen().store_with(1, Release);
        Ok(())
    }

    /// Hands the page that is here over once more.
    pub(crate) fn hand_over_again(&self, tell: impl FnOnce(HandedOver<'_>) -> Result) -> Result {
        tell(HandedOver(self.found().ok_or(ENOENT)?))
    }
}

/// A page that is being handed over.
pub(crate) struct HandedOver<'a>(&'a Arc<SharedWords>);

impl HandedOver<'_> {
    /// The page, for the hypervisor.
    pub(crate) fn share(&self) -> Arc<SharedWords> {
        Arc::clone(self.0)
    }
}

impl Deref for HandedOver<'_> {
    type Target = SharedWords;

    fn deref(&self) -> &SharedWords {
        self.0
    }
}

/// A page that was not handed over, and the reason.
pub(crate) struct Refused {
    pub(crate) page: SharedPage,
    pub(crate) error: Error,
}
