// SPDX-License-Identifier: GPL-2.0

//! Frames that have no memory of their own, for grants to be mapped at.
//!
//! C header: `include/xen/grant_table.h`.

use super::bindings;
use core::ptr;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    page::PAGE_SIZE,
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
// SAFETY: All methods that take `&self` only read the array, or an atomic counter of a page.
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

    /// The pages, for a call into C. Their number is [`Self::len`].
    pub(crate) fn as_ptr(&self) -> *const *mut bindings::page {
        self.pages.as_ptr()
    }

    /// The number of frames.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The page at `index`, or `None` past the end. It lives as long as `self`.
    pub(crate) fn get(&self, index: usize) -> Option<*mut bindings::page> {
        self.pages.get(index).copied()
    }

    /// The kernel's linear address of each frame.
    pub(crate) fn linear_addresses(&self) -> impl Iterator<Item = u64> + '_ {
        self.pages.iter().map(|page| {
            // SAFETY: By the type invariants, `page` is a valid page.
            unsafe { bindings::xen_rust_page_address(*page) as u64 }
        })
    }

    /// The guest physical address of each frame.
    pub(crate) fn physical_addresses(&self) -> impl Iterator<Item = u64> + '_ {
        self.pages.iter().map(|page| {
            // SAFETY: By the type invariants, `page` is a valid page.
            unsafe { bindings::xen_rust_page_physical(*page) }
        })
    }

    /// The address of the byte at `offset` from the start of the first frame, or `None` past the
    /// end. There is only memory at it while something is mapped at the frame.
    pub(crate) fn byte(&self, offset: usize) -> Option<*mut u8> {
        let page = self.get(offset / PAGE_SIZE)?;
        // SAFETY: By the type invariants, `page` is a valid page.
        let address = unsafe { bindings::xen_rust_page_address(page) };
        Some((address + offset % PAGE_SIZE) as *mut u8)
    }

    /// Returns whether nothing but `self` refers to the frames of `range`.
    ///
    /// A page-table entry of a process, a pin or I/O under way each hold a reference. While there
    /// is one the grant must stay mapped, or what uses the frame would reach nothing.
    pub(crate) fn are_unreferenced(&self, range: core::ops::Range<usize>) -> bool {
        self.pages[range].iter().all(|page| {
            // SAFETY: By the type invariants, `page` is a valid page.
            unsafe { bindings::xen_rust_page_count(*page) <= 1 }
        })
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
