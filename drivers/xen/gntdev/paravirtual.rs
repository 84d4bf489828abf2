// SPDX-License-Identifier: GPL-2.0

//! Grants in a process of a paravirtual domain.
//!
//! Each grant is mapped twice: at the kernel address of a frame, so that the kernel can do I/O to
//! the page for the program, and at the page-table entry of the program. Only the hypervisor may
//! change that entry, so an MMU notifier has it unmapped before the kernel changes it, and a page
//! that the process keeps is mapped again when it is accessed.

#![forbid(unsafe_code)]

use crate::{
    unmap_notify::NotifyingMapping,
    xen::{
        grant::{
            map::MapOperations,
            operation::{
                Access,
                GrantReference, //
            },
            user_mapping::{
                EntryArrays,
                UnmapCallbacks,
                UserMapping, //
            },
        },
        kernel::vma::Fault,
    },
};
use core::ops::Range;
use kernel::{
    mm::virt::VmaNew,
    prelude::*,
    sync::Arc, //
};

/// Implementation of [`crate::region_mapping::RegionMapping`]. Page-table entries are unmapped
/// before kernel addresses.
pub(crate) struct ParavirtualMapping {
    user: UserMapping<Arc<NotifyingMapping>>,
}

impl ParavirtualMapping {
    /// See [`crate::region_mapping::RegionMapping::new`]. `entries` become part of the mapping.
    pub(crate) fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>> + Clone,
        access: Access,
        kernel: &Arc<NotifyingMapping>,
        operations: &mut MapOperations,
        entries: &mut EntryArrays,
    ) -> Result<Self> {
        // The grants are mapped at the kernel's addresses when the notifier is there: a signal can
        // interrupt that, and then there is nothing to undo yet. A program whose signals come fast
        // succeeds as soon as one comes after the notifier.
        let user = UserMapping::with_arrays(
            vma,
            grants.clone(),
            access,
            kernel.clone(),
            operations,
            entries,
            |kernel, operations| kernel.map(grants, access, operations),
        )
        .inspect_err(|_| kernel.undo())?;
        Ok(Self { user })
    }

    /// See [`crate::region_mapping::RegionMapping::kernel`].
    pub(crate) fn kernel(&self) -> &NotifyingMapping {
        self.user.other()
    }

    /// See [`UserMapping::is_intact`].
    pub(crate) fn is_intact(&self) -> bool {
        self.user.is_intact()
    }

    /// See [`UserMapping::map_again`].
    pub(crate) fn map_again(&self, fault: &Fault<'_>) -> Result {
        self.user.map_again(fault)
    }
}

impl UnmapCallbacks for NotifyingMapping {
    fn before_unmap(&self, pages: Range<usize>) {
        self.tell_before_unmap(pages);
    }

    fn after_unmap(&self, pages: Range<usize>) {
        // The grants are not needed any more. That of a page which is referenced now stays mapped
        // until the mapping ends.
        self.unmap_unreferenced(pages);
    }
}
