// SPDX-License-Identifier: GPL-2.0

//! Pages at contiguous addresses of the kernel.
//!
//! C header: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h).

use crate::xen::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// Range of kernel addresses at which pages are mapped (C: `vmap()`). Dropping it unmaps the pages
/// and frees the range; may sleep.
///
/// # Invariants
///
/// `vmap()` made the range at `address`.
pub(crate) struct VmapRange {
    address: NonNull<c_void>,
}

// SAFETY: The addresses are those of the kernel, and may be unmapped by any thread.
unsafe impl Send for VmapRange {}
// SAFETY: The method that takes `&self` only reads the address.
unsafe impl Sync for VmapRange {}

impl VmapRange {
    /// Maps `pages` in order, readable and writable. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The elements of `pages` must be valid pages that stay allocated until the value is dropped.
    pub(crate) unsafe fn new(pages: &[*mut bindings::page]) -> Result<Self> {
        // SAFETY: By this function's safety requirements.
        unsafe { Self::with_kind(pages, false) }
    }

    /// As [`Self::new`], for a range whose page-table entries are to be replaced by those of frames
    /// that have no `struct page`. A read of `/proc/kcore` passes over it (C: `VM_SPARSE`).
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// That of [`Self::new`].
    pub(crate) unsafe fn without_pages(placeholders: &[*mut bindings::page]) -> Result<Self> {
        // SAFETY: By this function's safety requirements.
        unsafe { Self::with_kind(placeholders, true) }
    }

    /// See [`Self::new`] and [`Self::without_pages`].
    ///
    /// # Safety
    ///
    /// That of [`Self::new`].
    unsafe fn with_kind(pages: &[*mut bindings::page], sparse: bool) -> Result<Self> {
        let count = u32::try_from(pages.len()).map_err(|_| ENOMEM)?;
        // SAFETY: `pages` is an array of this length, to which the C function does not write, and
        // by this function's safety requirements the pages stay allocated.
        let address = unsafe { bindings::xen_rust_vmap(pages.as_ptr().cast_mut(), count, sparse) };
        // INVARIANT: `vmap()` just made the range.
        Ok(Self {
            address: NonNull::new(address).ok_or(ENOMEM)?,
        })
    }

    /// Returns the address of the first page.
    pub(crate) fn address(&self) -> NonNull<c_void> {
        self.address
    }
}

impl Drop for VmapRange {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, `vmap()` made the range.
        unsafe { bindings::vunmap(self.address.as_ptr()) };
    }
}
