// SPDX-License-Identifier: GPL-2.0

//! Pages of words that the hypervisor reads and writes, too.
//!
//! The hypervisor can change such a page at any time, so it consists of atomic words. They are
//! those of [`core`], which are always locked. The kernel's are not on a guest with one CPU.
//!
//! C header: [`include/xen/page.h`](srctree/include/xen/page.h).

use super::atomic::AtomicU32;
use core::{
    ops::Deref,
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
use kernel::{
    bindings,
    prelude::*, //
};

/// Number of words in a page of the hypervisor, whose size is 4096 bytes with any page size of the
/// kernel (C: `XEN_PAGE_SIZE`).
pub(crate) const WORDS_PER_PAGE: usize = 1024;

/// Words of a page.
pub(crate) type SharedWords = [AtomicU32; WORDS_PER_PAGE];

/// Page of words, initially zero, that the hypervisor does not know. Dropping it frees the memory,
/// which must not happen under a raw spinlock.
///
/// # Invariants
///
/// `words` is a page from the page allocator that this value owns.
pub(crate) struct SharedPage {
    words: NonNull<SharedWords>,
}

// SAFETY: The page belongs to no CPU, and consists of atomic words.
unsafe impl Send for SharedPage {}
// SAFETY: As above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Allocates a page. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The function can be called where the caller may sleep.
        let address = unsafe {
            bindings::get_free_pages_noprof(bindings::GFP_KERNEL | bindings::__GFP_ZERO, 0)
        };
        let words = NonNull::new(address as *mut SharedWords).ok_or(ENOMEM)?;
        // INVARIANT: The page was just allocated.
        Ok(Self { words })
    }

    pub(super) fn into_raw(self) -> NonNull<SharedWords> {
        let words = self.words;
        core::mem::forget(self);
        words
    }

    /// The page that [`Self::into_raw`] was called on, or a new one.
    ///
    /// # Safety
    ///
    /// `words` must come from [`Self::into_raw`], or be a page of zeroes from the page allocator.
    /// Nobody else may use it.
    pub(super) unsafe fn from_raw(words: NonNull<SharedWords>) -> Self {
        // INVARIANT: By this function's safety requirements it is a page that nobody else owns.
        Self { words }
    }
}

impl Deref for SharedPage {
    type Target = SharedWords;

    fn deref(&self) -> &SharedWords {
        // SAFETY: By the type invariants it is a page that this value owns, at least as large and
        // aligned as the words, and zero is a valid value of them.
        unsafe { self.words.as_ref() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::free_pages(self.words.as_ptr() as usize, 0) };
    }
}

/// Slot in which CPUs find a page that the hypervisor knows, without a lock.
///
/// # Invariants
///
/// The pointer is null or came from [`SharedPage::into_raw`]. Such a page is never freed.
pub(crate) struct PublishedPage(pub(super) AtomicPtr<SharedWords>);

impl PublishedPage {
    /// Makes a slot without a page.
    pub(crate) const fn empty() -> Self {
        // INVARIANT: The pointer is null.
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Returns the words of the page, if there is one.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&SharedWords> {
        // SAFETY: By the type invariants the page is never freed.
        unsafe { self.0.load(Acquire).as_ref() }
    }

    /// Returns true if the slot has no page.
    pub(crate) fn is_empty(&self) -> bool {
        self.get().is_none()
    }

    /// Registers a page with the hypervisor by `tell` and publishes it in the slot. Must not be
    /// called concurrently for the same slot.
    ///
    /// The page is published only after the hypervisor knows it. Until then no CPU may depend on
    /// words that the hypervisor writes there.
    ///
    /// # Errors
    ///
    /// Those of `tell`, which mean that the hypervisor does not know the page; `EEXIST` if the slot
    /// has a page. Both return the page.
    pub(crate) fn hand_over(
        &self,
        page: SharedPage,
        tell: impl FnOnce(HandedOver<'_>) -> Result,
    ) -> Result<(), Refused> {
        let told = if self.is_empty() {
            tell(HandedOver(&page))
        } else {
            Err(EEXIST)
        };
        if let Err(error) = told {
            return Err(Refused { page, error });
        }
        let words = page.into_raw().as_ptr();
        // INVARIANT: The page has just come from `into_raw()`. It is never freed, also if a
        // concurrent call has filled the slot and it is not published.
        let _ = self
            .0
            .compare_exchange(ptr::null_mut(), words, Release, Relaxed);
        Ok(())
    }

    /// Registers the page of the slot again, with a hypervisor that does not know it: that of
    /// another host, after the domain was moved there. It stays in the slot if it is refused.
    ///
    /// # Errors
    ///
    /// Those of `tell`; `ENOENT` if the slot has no page.
    pub(crate) fn hand_over_again(&self, tell: impl FnOnce(HandedOver<'_>) -> Result) -> Result {
        tell(HandedOver(self.get().ok_or(ENOENT)?))
    }
}

/// Page that is being registered with the hypervisor. It is never freed unless the hypervisor
/// refuses it.
pub(crate) struct HandedOver<'a>(&'a SharedWords);

impl Deref for HandedOver<'_> {
    type Target = SharedWords;

    fn deref(&self) -> &SharedWords {
        self.0
    }
}

/// Page that was not registered, and the reason. Dropping it frees the page.
pub(crate) struct Refused {
    /// Page, which nothing else refers to.
    pub(crate) page: SharedPage,
    /// Error of the operation.
    pub(crate) error: Error,
}
