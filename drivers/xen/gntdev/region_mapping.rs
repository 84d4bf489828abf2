// SPDX-License-Identifier: GPL-2.0

//! Grants of a region in a process, in either memory model.

#![forbid(unsafe_code)]

use crate::{
    auto_translated::AutoTranslatedMapping,
    paravirtual::ParavirtualMapping,
    unmap_notify::UnmapNotify,
    xen::grant::{
        domain,
        mapping::MappedFrames,
        operation::{
            Access,
            GrantReference, //
        },
    },
};
use kernel::{
    mm::virt::VmaNew,
    prelude::*,
    sync::Arc, //
};

/// Grants that are mapped in a process. Dropping it unmaps them.
pub(crate) enum RegionMapping {
    /// The hardware translates physical addresses of the kernel (PVH, HVM, Arm).
    AutoTranslated(AutoTranslatedMapping),
    /// The page tables hold machine addresses, and the hypervisor writes the entries.
    Paravirtual(ParavirtualMapping),
}

impl RegionMapping {
    /// Maps `grants` at the pages of `vma`, in the memory model of this domain.
    ///
    /// Called while the VMA is set up, with the mmap lock held for writing. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if Xen refuses a grant; `ENOMEM`.
    pub(crate) fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>> + Clone,
        access: Access,
        notify: Arc<UnmapNotify>,
    ) -> Result<Self> {
        if domain::is_paravirtual() {
            ParavirtualMapping::new(vma, grants, access, notify).map(Self::Paravirtual)
        } else {
            AutoTranslatedMapping::new(vma, grants, access, notify).map(Self::AutoTranslated)
        }
    }

    /// Returns the frames that the grants are mapped at.
    pub(crate) fn frames(&self) -> &MappedFrames {
        match self {
            Self::AutoTranslated(mapping) => mapping.frames(),
            Self::Paravirtual(mapping) => mapping.frames(),
        }
    }
}
