// SPDX-License-Identifier: GPL-2.0

//! Frames that have no memory of their own, for grants to be mapped at.
//!
//! C header: `include/xen/grant_table.h`.

use crate::xen::{
    bindings,
    kernel::page_array::PageArray, //
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
/// `pages` are pages that `gnttab_alloc_pages()` gave and that were not given back. This value
/// holds the first reference to each.
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
    /// `ENOMEM` when there is no memory, no address space, or nothing to balloon out.
    pub(crate) fn new(count: usize) -> Result<Self> {
        let length = i32::try_from(count).map_err(|_| ENOMEM)?;
        let mut pages = KVVec::from_elem(ptr::null_mut(), count, GFP_KERNEL | __GFP_NOWARN)?;

        // SAFETY: `pages` has room for `length` pointers.
        let result = unsafe { bindings::gnttab_alloc_pages(length, pages.as_mut_ptr()) };
        if result != 0 {
            return Err(ENOMEM);
        }

        // INVARIANT: `gnttab_alloc_pages()` filled the array, and gave the pages to us.
        Ok(Self { pages })
    }

    /// Orders the frames by address.
    ///
    /// The kernel hands them out from a stack that it filled upwards, so this makes most of them
    /// follow each other in the kernel's addresses.
    pub(crate) fn sorted(mut self) -> Self {
        self.pages.sort_unstable();
        self
    }

    /// Gives the frames up for good, with the memory of another domain that is still mapped at some
    /// of them.
    pub(super) fn lose(self) {
        let mut this = ManuallyDrop::new(self);
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
    /// Gives the frames back. May sleep.
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the pages came from `gnttab_alloc_pages()`; the number
        // fits, because it did when they were allocated.
        unsafe { bindings::gnttab_free_pages(self.pages.len() as i32, self.pages.as_mut_ptr()) };
    }
}
