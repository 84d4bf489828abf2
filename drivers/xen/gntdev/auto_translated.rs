// SPDX-License-Identifier: GPL-2.0

//! Grants in a process of an auto-translated domain (PVH, HVM, Arm).
//!
//! The grants are mapped at physical addresses of frames with a `struct page`, and these pages are
//! inserted in the VMA like any others. Each page-table entry holds a reference to its page, and so
//! does a pin. The grants stay mapped until the last reference is gone, also that of a forked
//! process.

#![forbid(unsafe_code)]

use crate::{
    unmap_notify::{
        NotifyingMapping,
        UnmapNotify, //
    },
    xen::grant::{
        mapping::{
            GrantMapping,
            MappedFrames, //
        },
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

/// Implementation of [`crate::region_mapping::RegionMapping`].
pub(crate) struct AutoTranslatedMapping {
    kernel: NotifyingMapping,
}

impl AutoTranslatedMapping {
    /// See [`crate::region_mapping::RegionMapping::new`].
    pub(crate) fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        notify: Arc<UnmapNotify>,
    ) -> Result<Self> {
        let kernel = NotifyingMapping::new(GrantMapping::new(grants, access, None)?);
        kernel.frames().insert_at(vma)?;
        kernel.tell(notify);
        Ok(Self { kernel })
    }

    /// See [`crate::region_mapping::RegionMapping::frames`].
    pub(crate) fn frames(&self) -> &MappedFrames {
        self.kernel.frames()
    }
}
