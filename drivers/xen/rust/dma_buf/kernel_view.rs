// SPDX-License-Identifier: GPL-2.0

//! Mappings of frames at contiguous addresses of the kernel.

use crate::xen::{
    grant::{
        contiguous_mapping::ContiguousMapping,
        domain,
        frames::Frames,
        operation::{
            Access,
            GrantReference, //
        },
    },
    kernel::{
        page_array::PageArray,
        vmap::VmapRange, //
    },
};
use core::ptr::NonNull;
use kernel::prelude::*;

/// Contiguous kernel addresses of frames. Dropping it unmaps them if they were mapped for it; may
/// sleep.
pub(super) enum KernelView {
    /// Linear addresses of the frames, which are contiguous.
    Linear(LinearAddress),
    /// Range of addresses at which the frames are mapped.
    Range(VmapRange),
    /// Range of addresses at which the grants are mapped, in a paravirtual domain.
    Grants(ContiguousMapping),
}

/// Linear address of contiguous frames.
pub(super) struct LinearAddress(NonNull<c_void>);

// SAFETY: The address is one of the kernel, in all threads.
unsafe impl Send for LinearAddress {}
// SAFETY: As above.
unsafe impl Sync for LinearAddress {}

impl KernelView {
    /// Finds or makes contiguous addresses of all of `frames`. `grants` are those that are mapped
    /// at the frames, for writing. May sleep, for long if pages of the granting domain are paged
    /// out.
    ///
    /// The frames only have to be mapped at other addresses if they are not contiguous. In a
    /// paravirtual domain this takes a second mapping of the grants: a page-table entry with a page
    /// of another domain can only be written by the hypervisor, as part of mapping the grant.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; in a paravirtual domain those of [`ContiguousMapping::new`].
    ///
    /// # Safety
    ///
    /// The frames must stay allocated until the value is dropped.
    pub(super) unsafe fn new(
        frames: &Frames,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
    ) -> Result<Self> {
        if let Some(address) = frames.contiguous_address() {
            return Ok(Self::Linear(LinearAddress(address)));
        }
        if domain::is_paravirtual() {
            return ContiguousMapping::new(grants, Access::ReadWrite).map(Self::Grants);
        }
        // SAFETY: The pages of frames are valid, and by this function's safety requirements they
        // stay allocated.
        unsafe { VmapRange::new(frames.pages()) }.map(Self::Range)
    }

    /// Returns the address of the first frame.
    pub(super) fn address(&self) -> NonNull<c_void> {
        match self {
            Self::Linear(address) => address.0,
            Self::Range(range) => range.address(),
            Self::Grants(mapping) => mapping.address(),
        }
    }
}
