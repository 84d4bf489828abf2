// SPDX-License-Identifier: GPL-2.0

//! Grants in a process of a paravirtual domain.
//!
//! Each grant is mapped twice: at the kernel address of a frame, so that the kernel can do I/O on
//! the page for the program, and at the program's page-table entry. The latter may only be changed
//! by the hypervisor, so an MMU notifier has it unmapped before the kernel changes the entry.

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

/// See [`crate::region_mapping::RegionMapping`]. The page-table entries go before what is at the
/// kernel's addresses.
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
    fn before_unmap(&self, pages: Range<usize>) {
        self.tell_before_unmap(pages);
    }

    fn after_unmap(&self, pages: Range<usize>, event: Event) {
        // Without its page-table entry a page cannot come back: the grant is not needed any more.
        // But where only entries change, somebody else may have looked the page up in this moment
        // and be about to refer to it. Then it waits for the end of the mapping, as does a page
        // that is referred to now.
        if event == Event::Unmap {
            self.unmap_unreferenced(pages);
        }
    }
}
