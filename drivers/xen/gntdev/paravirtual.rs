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
                BeforeUnmap,
                EntryArrays,
                UserMapping, //
            },
        },
        kernel::{
            mmu_notifier::Event,
            vma::Fault, //
        },
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

    /// See [`UserMapping::map_again`].
    pub(crate) fn map_again(&self, fault: &Fault<'_>) -> Result {
        self.user.map_again(fault)
    }
}

impl BeforeUnmap for NotifyingMapping {
    fn before_unmap(&self, pages: Range<usize>, event: Event) {
        // The granter learns of the end of a grant. If only entries change, the grant stays in use:
        // see below.
        if event == Event::Unmap {
            self.tell_before_unmap(pages);
        }
    }

    fn after_unmap(&self, pages: Range<usize>, event: Event) {
        // The process does not get the page again, so its grant is not needed any more. But if
        // entries only change, another CPU may just have looked the page up and be about to take a
        // reference. The grant then stays mapped until the mapping ends, as does that of a page
        // which is referenced now.
        if event == Event::Unmap {
            self.unmap_unreferenced(pages);
        }
    }
}
