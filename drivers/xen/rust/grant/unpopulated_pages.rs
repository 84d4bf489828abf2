// SPDX-License-Identifier: GPL-2.0

//! Frames without memory of their own, for grants to be mapped at.
//!
//! C header: `include/xen/grant_table.h`.

use super::failing_call;
use crate::xen::{
    bindings,
    kernel::page_array::PageArray,
    totals::Total, //
};
use core::{
    mem::{
        self,
        ManuallyDrop, //
    },
    ptr, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// Frames with a `struct page` and a kernel address, but without memory under them.
///
/// # Invariants
///
/// `pages` are pages from `gnttab_alloc_pages()` that have not been freed. This value holds the
/// first reference to each.
pub(crate) struct UnpopulatedPages {
    pages: KVVec<*mut bindings::page>,
}

// SAFETY: A `struct page` is not bound to a thread, and the functions of the grant table that take
// pages may be called from any.
unsafe impl Send for UnpopulatedPages {}
// SAFETY: All methods that take `&self` only read the array.
unsafe impl Sync for UnpopulatedPages {}

impl UnpopulatedPages {
    /// Allocates `count` frames. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory or address space, or if the balloon driver finds nothing to
    /// release.
    pub(crate) fn new(count: usize) -> Result<Self> {
        let length = i32::try_from(count).map_err(|_| ENOMEM)?;
        let mut pages =
            KVVec::from_elem(ptr::null_mut(), count, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;

        // SAFETY: `pages` has room for `length` pointers.
        let result = unsafe { failing_call::gnttab_alloc_pages(length, pages.as_mut_ptr()) };
        if result != 0 {
            return Err(ENOMEM);
        }

        // INVARIANT: `gnttab_alloc_pages()` filled the array, and the caller owns the pages.
        Ok(Self { pages })
    }

    /// Sorts the frames by address.
    ///
    /// The kernel hands them out from a stack that it filled upwards, so that after sorting most
    /// frames are adjacent.
    pub(crate) fn sorted(mut self) -> Self {
        self.pages.sort_unstable();
        self
    }

    /// Leaks the frames, because memory of another domain is still mapped at some of them.
    pub(super) fn lose(self) {
        let mut this = ManuallyDrop::new(self);
        Total::LostFrames.add(this.pages.len());
        drop(mem::replace(&mut this.pages, KVVec::new()));
    }
}

// SAFETY: By the type invariants, the pages are valid, and the array does not change.
unsafe impl PageArray for UnpopulatedPages {
    fn pages(&self) -> &[*mut bindings::page] {
        &self.pages
    }
}

impl Drop for UnpopulatedPages {
    /// Frees the frames. May sleep.
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the pages came from `gnttab_alloc_pages()`; the number
        // fits, because it did when they were allocated.
        unsafe { bindings::gnttab_free_pages(self.pages.len() as i32, self.pages.as_mut_ptr()) };
    }
}
