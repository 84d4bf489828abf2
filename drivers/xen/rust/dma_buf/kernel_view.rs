// SPDX-License-Identifier: GPL-2.0

//! Mappings of frames at contiguous addresses of the kernel.
//!
//! C header: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h).

use crate::xen::{
    bindings,
    grant::{
        domain,
        frames::Frames, //
    },
    kernel::{
        errno,
        page_array::PageArray, //
    },
};
use core::ptr::NonNull;
use kernel::prelude::*;

/// Contiguous kernel addresses of frames. Dropping it unmaps them if they were mapped for it; may
/// sleep.
///
/// # Invariants
///
/// `made` is true if `vmap()` made the mapping at `address`.
pub(super) struct KernelView {
    address: NonNull<c_void>,
    made: bool,
}

// SAFETY: The addresses are those of the kernel, and may be unmapped by any thread.
unsafe impl Send for KernelView {}

impl KernelView {
    /// Returns true if `frames` can have contiguous addresses. The answer does not change.
    ///
    /// In a paravirtual domain only frames that are adjacent in the linear mapping can: a
    /// page-table entry with a page of another domain can only be written by the hypervisor, as
    /// part of mapping the grant.
    pub(super) fn is_possible(frames: &Frames) -> bool {
        !domain::is_paravirtual() || frames.contiguous_address().is_some()
    }

    /// Finds or makes contiguous addresses of all of `frames`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EOPNOTSUPP` if that is not [possible](Self::is_possible).
    ///
    /// # Safety
    ///
    /// The frames must stay allocated until the value is dropped.
    pub(super) unsafe fn new(frames: &Frames) -> Result<Self> {
        if let Some(address) = frames.contiguous_address() {
            // INVARIANT: No mapping was made.
            return Ok(Self {
                address,
                made: false,
            });
        }
        if domain::is_paravirtual() {
            return Err(errno::not_supported());
        }
        let pages = frames.pages();
        // SAFETY: `pages` is an array of this length, to which the C function does not write, and
        // by this function's safety requirements the pages stay allocated.
        let address =
            unsafe { bindings::xen_rust_vmap(pages.as_ptr().cast_mut(), pages.len() as c_uint) };
        // INVARIANT: `vmap()` just made the mapping.
        Ok(Self {
            address: NonNull::new(address).ok_or(ENOMEM)?,
            made: true,
        })
    }

    /// Returns the address of the first frame.
    pub(super) fn address(&self) -> NonNull<c_void> {
        self.address
    }
}

impl Drop for KernelView {
    fn drop(&mut self) {
        if self.made {
            // SAFETY: By the type invariants, `vmap()` made the mapping.
            unsafe { bindings::vunmap(self.address.as_ptr()) };
        }
    }
}
