// SPDX-License-Identifier: GPL-2.0

//! Frames at adjacent addresses of the kernel.
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

/// Addresses at which the kernel has frames one after the other. Dropping it gives the addresses
/// up; may sleep.
///
/// # Invariants
///
/// `made` says whether `vmap()` made the mapping at `address`.
pub(super) struct KernelView {
    address: NonNull<c_void>,
    made: bool,
}

// SAFETY: The addresses are those of the kernel, and may be given up by any thread.
unsafe impl Send for KernelView {}

impl KernelView {
    /// Returns whether there can be addresses at which all of `frames` are, which does not change.
    ///
    /// Not in a paravirtual domain if the frames do not follow each other in the linear mapping.
    /// There a page-table entry with another domain's page can only be made by the hypervisor, as
    /// part of mapping the grant.
    pub(super) fn is_possible(frames: &Frames) -> bool {
        !domain::is_paravirtual() || frames.contiguous_address().is_some()
    }

    /// Finds or makes addresses at which all of `frames` are. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EOPNOTSUPP` if that is not [possible](Self::is_possible).
    ///
    /// # Safety
    ///
    /// The frames must stay until the value is dropped.
    pub(super) unsafe fn new(frames: &Frames) -> Result<Self> {
        if let Some(address) = frames.contiguous_address() {
            // INVARIANT: Nothing was made.
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
        // by this function's safety requirements the pages stay.
        let address =
            unsafe { bindings::xen_rust_vmap(pages.as_ptr().cast_mut(), pages.len() as c_uint) };
        // INVARIANT: `vmap()` just made it.
        Ok(Self {
            address: NonNull::new(address).ok_or(ENOMEM)?,
            made: true,
        })
    }

    /// The address of the first frame.
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
