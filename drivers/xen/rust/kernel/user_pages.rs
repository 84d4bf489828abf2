// SPDX-License-Identifier: GPL-2.0

//! Pages of the calling process, pinned for access by someone else.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h), `pin_user_pages_fast()`.

use super::page_array::PageArray;
use crate::xen::bindings;
use kernel::{
    error::to_result,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Access for which pages are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PinFor {
    /// The pages are read.
    Reading,
    /// The pages are written: pinning breaks copy-on-write, and unpinning marks them dirty.
    Writing,
}

/// Pinned pages, in an array of fixed capacity. Dropping it unpins them; may sleep.
///
/// # Invariants
///
/// All elements of `pages` are pages that `pin_user_pages_fast()` pinned, for `purpose`.
pub(crate) struct PinnedPages {
    pages: KVVec<*mut bindings::page>,
    purpose: PinFor,
}

// SAFETY: A pin is not bound to the thread that took it.
unsafe impl Send for PinnedPages {}

impl PinnedPages {
    /// Makes an empty array with room for `capacity` pages. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn with_capacity(capacity: usize, purpose: PinFor) -> Result<Self> {
        // INVARIANT: There are no elements.
        Ok(Self {
            pages: KVVec::with_capacity(capacity, GFP_KERNEL_ACCOUNT)?,
            purpose,
        })
    }

    /// Pins `count` pages of the calling process, from the page of `address` on, and appends them
    /// to the array. Must not be called with the mmap lock held. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT` if one of them is not mapped or does not permit the access; `ENOSPC` if there is no
    /// room; those of `pin_user_pages_fast()`. Some pages may then have been added.
    pub(crate) fn pin(&mut self, address: usize, count: usize) -> Result {
        let room = self.pages.spare_capacity_mut();
        if room.len() < count {
            return Err(ENOSPC);
        }
        let flags = match self.purpose {
            PinFor::Reading => 0,
            PinFor::Writing => bindings::FOLL_WRITE,
        };
        // SAFETY: There is room for `count` pointers; the function checks `address`.
        let pinned = unsafe {
            bindings::pin_user_pages_fast(
                address & !(PAGE_SIZE - 1),
                count as c_int,
                flags,
                room.as_mut_ptr().cast(),
            )
        };
        to_result(pinned.min(0)).map_err(|error| match error {
            // The range would end beyond the last address.
            EOVERFLOW => EFAULT,
            error => error,
        })?;
        // INVARIANT: The function pinned this number of pages, with the flags of `purpose`.
        // SAFETY: It initialized as many elements, which fit in the capacity.
        unsafe { self.pages.inc_len(pinned as usize) };
        if (pinned as usize) < count {
            return Err(EFAULT);
        }
        Ok(())
    }

    /// Returns the number of pinned pages.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// Unpins all pages. May sleep.
    pub(crate) fn unpin(&mut self) {
        // SAFETY: By the type invariants, all elements are pinned pages. They are removed from the
        // array below.
        unsafe {
            bindings::unpin_user_pages_dirty_lock(
                self.pages.as_mut_ptr(),
                self.pages.len(),
                self.purpose == PinFor::Writing,
            )
        };
        self.pages.clear();
    }
}

// SAFETY: By the type invariants, all elements are valid pages. Changing the array takes a mutable
// borrow.
unsafe impl PageArray for PinnedPages {
    fn pages(&self) -> &[*mut bindings::page] {
        &self.pages
    }
}

impl Drop for PinnedPages {
    fn drop(&mut self) {
        self.unpin();
    }
}
