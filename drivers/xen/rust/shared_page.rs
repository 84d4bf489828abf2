// SPDX-License-Identifier: GPL-2.0

//! Pages of words that the hypervisor reads and writes as well.
//!
//! Such a page is not like other memory: it changes by itself, so all of it are atomic words.
//! [`core`]'s are used, because they are always locked. The kernel's may not be, on a guest with
//! one CPU.
//!
//! C header: [`include/xen/page.h`](srctree/include/xen/page.h).

use super::rcu_reader::RcuReader;
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
            Release, //
        }, //
    },
};
use kernel::{
    bindings,
    prelude::*,
    sync::rcu, //
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
        // SAFETY: Pages can be allocated with these flags wherever a function may sleep.
        let address = unsafe {
            bindings::get_free_pages_noprof(bindings::GFP_KERNEL | bindings::__GFP_ZERO, 0)
        };
        let words = NonNull::new(address as *mut SharedWords).ok_or(ENOMEM)?;
        // INVARIANT: It was allocated just now.
        Ok(Self { words })
    }

    fn into_raw(self) -> NonNull<SharedWords> {
        let words = self.words;
        core::mem::forget(self);
        words
    }

    /// # Safety
    ///
    /// `words` must have come from [`Self::into_raw`], and be used by nobody any more.
    unsafe fn from_raw(words: NonNull<SharedWords>) -> Self {
        // INVARIANT: By this function's safety requirements.
        Self { words }
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

/// A place where CPUs find a page, without a lock.
///
/// # Invariants
///
/// The pointer is null or came from [`SharedPage::into_raw`]. Such a page stays for a grace period
/// after it is no longer found here, and for ever if the hypervisor knows it.
pub(crate) struct PublishedPage(AtomicPtr<SharedWords>);

impl PublishedPage {
    /// A place without a page.
    pub(crate) const fn empty() -> Self {
        // INVARIANT: It is null.
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The words of the page that is here, if there is one.
    #[inline(always)]
    pub(crate) fn get<'a>(&self, _reader: RcuReader<'a>) -> Option<&'a SharedWords> {
        // SAFETY: By the type invariants the page stays for a grace period, which does not end
        // before `'a`.
        unsafe { self.0.load(Acquire).as_ref() }
    }

    /// Whether a page is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Acquire).is_null()
    }

    /// Puts a page here and hands it over to the hypervisor by `tell`. May sleep.
    ///
    /// The page is found here before the hypervisor knows it, as it may use it at once. If it
    /// refuses, the page is taken away again and freed, which waits for a grace period.
    ///
    /// # Errors
    ///
    /// Those of `tell`, by which it says that the hypervisor does not know the page; `EEXIST` if
    /// there is a page here.
    pub(crate) fn hand_over(
        &self,
        page: SharedPage,
        tell: impl FnOnce(HandedOver<'_>) -> Result,
    ) -> Result {
        let words = page.into_raw();
        // INVARIANT: The page has just come from `into_raw()`.
        let here = self
            .0
            .compare_exchange(ptr::null_mut(), words.as_ptr(), Release, Acquire)
            .is_ok();
        let told = if here {
            // SAFETY: It is a page, and nobody but us takes it away.
            tell(HandedOver(unsafe { words.as_ref() }))
        } else {
            Err(EEXIST)
        };
        if told.is_err() {
            if here {
                self.0.store(ptr::null_mut(), Release);
                // SAFETY: We may sleep.
                unsafe { bindings::synchronize_rcu() };
            }
            // SAFETY: It came from `into_raw()`. Nobody has found it here, or it is not found any
            // more and the grace period after that is over. The hypervisor does not know it.
            drop(unsafe { SharedPage::from_raw(words) });
        }
        told
    }

    /// Hands the page that is here over once more, to a hypervisor that does not know it: that of
    /// another host, after the domain was moved there. It stays here if it is refused.
    ///
    /// # Errors
    ///
    /// Those of `tell`; `ENOENT` if there is no page.
    pub(crate) fn hand_over_again(&self, tell: impl FnOnce(HandedOver<'_>) -> Result) -> Result {
        let guard = rcu::read_lock();
        let words = self.get(RcuReader::new(&guard)).ok_or(ENOENT)?;
        tell(HandedOver(words))
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
