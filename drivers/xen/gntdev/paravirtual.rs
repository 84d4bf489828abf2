// SPDX-License-Identifier: GPL-2.0

//! Grants in a process of a paravirtual domain.
//!
//! Each grant is mapped twice: at the kernel address of a frame, so that the kernel can do I/O to
//! the page for the program, and at the page-table entry of the program. Only the hypervisor may
//! change that entry, so an MMU notifier has it unmapped before the kernel changes it.

#![forbid(unsafe_code)]

use crate::{
    unmap_notify::{
        NotifyingMapping,
        UnmapNotify, //
    },
    xen::{
        grant::{
            mapping::{
                GrantMapping,
                MappedFrames, //
            },
            operation::{
                Access,
                GrantReference, //
            },
            user_mapping::{
                BeforeUnmap,
                UserMapping, //
            },
        },
        kernel::mmu_notifier::Event,
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
    user: UserMapping<NotifyingMapping>,
}

impl ParavirtualMapping {
    /// See [`crate::region_mapping::RegionMapping::new`].
    pub(crate) fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>> + Clone,
        access: Access,
        notify: Arc<UnmapNotify>,
    ) -> Result<Self> {
        let kernel = NotifyingMapping::new(GrantMapping::new(grants.clone(), access, None)?);
        let user = UserMapping::new(vma, grants, access, kernel)?;
        user.other().tell(notify);
        Ok(Self { user })
    }

    /// See [`crate::region_mapping::RegionMapping::frames`].
    pub(crate) fn frames(&self) -> &MappedFrames {
        self.user.other().frames()
    }
}

impl BeforeUnmap for NotifyingMapping {
    fn before_unmap(&self, pages: Range<usize>, event: Event) {
        // The granter learns of the end of a grant. Where only entries change, the grant stays in
        // use: see below.
        if event == Event::Unmap {
            self.tell_before_unmap(pages);
        }
    }

    fn after_unmap(&self, pages: Range<usize>, event: Event) {
        // Without its page-table entry a page cannot be mapped again, so its grant is not needed
        // any more. But if entries only change, another CPU may just have looked the page up and be
        // about to take a reference. The grant then stays mapped until the mapping ends, as does
        // that of a page which is referenced now.
        if event == Event::Unmap {
            self.unmap_unreferenced(pages);
        }
    }
}
