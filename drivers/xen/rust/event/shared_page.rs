// SPDX-License-Identifier: GPL-2.0

//! Pages of words that the hypervisor reads and writes as well.
//!
//! Such a page is not like other memory: it changes by itself, so all of it are atomic words.
//! [`core`]'s are used, because they are always locked. The kernel's may not be, on a guest with
//! one CPU.
//!
//! C header: [`include/xen/page.h`](srctree/include/xen/page.h).

use core::{
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
    sync::atomic::{
        AtomicPtr,
        AtomicU32,
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

/// How many words a page of the hypervisor has, whose size is 4096 bytes with any page size of the
/// kernel (C: `XEN_PAGE_SIZE`).
pub(crate) const WORDS_PER_PAGE: usize = 1024;

/// The words of a page.
pub(crate) type SharedWords = [AtomicU32; WORDS_PER_PAGE];

/// A page of words, all zero at first, that the hypervisor does not know. Dropping it gives the
/// memory back.
///
/// # Invariants
///
/// `words` is a page of the page allocator that is ours.
pub(crate) struct SharedPage {
    words: NonNull<SharedWords>,
}

// SAFETY: The page belongs to no CPU, and there are only atomic words in it.
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
        Self::with_flags(bindings::GFP_KERNEL)
    }

    /// The same, where nobody may sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new_atomic() -> Result<Self> {
        Self::with_flags(bindings::GFP_ATOMIC)
    }

    fn with_flags(flags: bindings::gfp_t) -> Result<Self> {
        // SAFETY: The function can be called with any of the flags above, in the context that they
        // are for.
        let address = unsafe { bindings::get_free_pages_noprof(flags | bindings::__GFP_ZERO, 0) };
        let words = NonNull::new(address as *mut SharedWords).ok_or(ENOMEM)?;
        // INVARIANT: It was allocated just now.
        Ok(Self { words })
    }

    fn into_raw(self) -> NonNull<SharedWords> {
        let words = self.words;
        core::mem::forget(self);
        words
    }
}

impl Deref for SharedPage {
    type Target = SharedWords;

    fn deref(&self) -> &SharedWords {
        // SAFETY: By the type invariants it is a page of our own, at least as large and aligned as
        // the words, which were made zero, a valid value.
        unsafe { self.words.as_ref() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::free_pages(self.words.as_ptr() as usize, 0) };
    }
}

/// A place where CPUs find a page that the hypervisor knows, without a lock.
///
/// # Invariants
///
/// The pointer is null or came from [`SharedPage::into_raw`]. Such a page stays for ever.
pub(crate) struct PublishedPage(AtomicPtr<SharedWords>);

impl PublishedPage {
    /// A place without a page.
    pub(crate) const fn empty() -> Self {
        // INVARIANT: It is null.
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The words of the page that is here, if there is one.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&SharedWords> {
        // SAFETY: By the type invariants the page stays for ever.
        unsafe { self.0.load(Acquire).as_ref() }
    }

    /// Whether a page is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.get().is_none()
    }

    /// Hands a page over to the hypervisor by `tell` and puts it here, where nobody else may put
    /// one at the same time.
    ///
    /// The page is found here only when the hypervisor knows it. So until then nobody may have a
    /// reason to look for what the hypervisor writes there.
    ///
    /// # Errors
    ///
    /// Those of `tell`, by which it says that the hypervisor does not know the page; `EEXIST` if
    /// there is a page here. Both return the page.
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
        // INVARIANT: The page has just come from `into_raw()`. It is kept, also if somebody broke
        // the rule above and it is not found here.
        let _ = self
            .0
            .compare_exchange(ptr::null_mut(), words, Release, Relaxed);
        Ok(())
    }

    /// Hands the page that is here over once more, to a hypervisor that does not know it: that of
    /// another host, after the domain was moved there. It stays here if it is refused.
    ///
    /// # Errors
    ///
    /// Those of `tell`; `ENOENT` if there is no page.
    pub(crate) fn hand_over_again(&self, tell: impl FnOnce(HandedOver<'_>) -> Result) -> Result {
        tell(HandedOver(self.get().ok_or(ENOENT)?))
    }
}

/// A page that is being handed over to the hypervisor: it stays unless that refuses it.
pub(crate) struct HandedOver<'a>(&'a SharedWords);

impl Deref for HandedOver<'_> {
    type Target = SharedWords;

    fn deref(&self) -> &SharedWords {
        self.0
    }
}

/// A page that was not handed over, and why. To drop it frees the page.
pub(crate) struct Refused {
    /// The page, which nobody else has seen.
    pub(crate) page: SharedPage,
    /// Why.
    pub(crate) error: Error,
}
