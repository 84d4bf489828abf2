// SPDX-License-Identifier: GPL-2.0

//! Pages for the event array, allocated ahead.
//!
//! The array grows when a port is set up, and a port of a physical interrupt is set up under the
//! raw spinlock of the interrupt's descriptor. Pages can be neither allocated nor freed there on a
//! kernel with `PREEMPT_RT`, where the page allocator's locks sleep. A caller cannot find out
//! whether it is under such a lock, so each takes a page from this reserve, which is filled where
//! the context is known. If it is empty, `alloc_pages_nolock()` is left, which fails rather than
//! wait.

use super::shared_page::{
    SharedPage,
    SharedWords, //
};
use core::{
    ptr::{
        self,
        NonNull, //
    },
    sync::atomic::{
        AtomicPtr,
        Ordering::{
            Acquire,
            Relaxed,
            Release, //
        }, //
    },
};
use kernel::prelude::*;

/// Number of pages up to which the reserve is filled. One page has the words of 1024 ports.
const TARGET: usize = 2;

/// Number of slots: one more than what the reserve is filled to, for a page that is put back.
const SLOTS: usize = TARGET + 1;

/// Reserve of pages that no one else knows.
///
/// # Invariants
///
/// Each pointer is null or came from [`SharedPage::into_raw`] and is in no other place.
pub(crate) struct PageReserve([AtomicPtr<SharedWords>; SLOTS]);

impl PageReserve {
    /// An empty reserve.
    pub(crate) const fn new() -> Self {
        // INVARIANT: All are null.
        Self([const { AtomicPtr::new(ptr::null_mut()) }; SLOTS])
    }

    /// Takes a page; [`None`] if the reserve is empty. Any context.
    pub(crate) fn take(&self) -> Option<SharedPage> {
        let taken = self.0.iter().find_map(|slot| {
            // The order is that of the page's zeroes.
            NonNull::new(slot.swap(ptr::null_mut(), Acquire))
        })?;
        // SAFETY: By the type invariants. The exchange took it out of the only place where it was.
        Some(unsafe { SharedPage::from_raw(taken) })
    }

    /// Puts a page that was taken back. Any context, as long as only one page at a time is taken
    /// and not put back: more than the slots would hold are freed.
    pub(crate) fn put(&self, page: SharedPage) {
        let words = page.into_raw();
        let put = self.0.iter().any(|slot| {
            // INVARIANT: The page has just come from `into_raw()`.
            slot.compare_exchange(ptr::null_mut(), words.as_ptr(), Release, Relaxed)
                .is_ok()
        });
        if !put {
            // SAFETY: It has just come from `into_raw()`, and was put nowhere.
            drop(unsafe { SharedPage::from_raw(words) });
        }
    }

    /// Number of pages that are there.
    pub(crate) fn count(&self) -> usize {
        let is_there = |slot: &&AtomicPtr<SharedWords>| !slot.load(Relaxed).is_null();
        self.0.iter().filter(is_there).count()
    }

    /// Fills the reserve. May sleep. Only one caller at a time.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the pages that could be allocated are there.
    pub(crate) fn fill(&self) -> Result {
        while self.count() < TARGET {
            self.put(SharedPage::new()?);
        }
        Ok(())
    }
}

impl Drop for PageReserve {
    /// Frees the pages. A reserve that is a static is never dropped.
    fn drop(&mut self) {
        while self.take().is_some() {}
    }
}
