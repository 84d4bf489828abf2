// SPDX-License-Identifier: GPL-2.0

//! Grants in a process of an auto-translated domain (PVH, HVM, Arm).
//!
//! The grants are mapped at physical addresses of frames that the kernel has a `struct page` for,
//! and these pages are inserted in the VMA like any others. Each page-table entry holds a
//! reference to its page, so that the grants stay mapped until the last entry is gone, also that
//! of a forked process or of a pin.

#![forbid(unsafe_code)]

use crate::{
    unmap_notify::{
        NotifyingMapping,
        UnmapNotify, //
    },
    xen::{
        grant_mapping::{
            GrantMapping,
            MappedFrames, //
        },
        grant_operation::{
            Access,
            GrantReference, //
        },
        vma, //
    },
};
use kernel::{
    mm::virt::VmaNew,
    prelude::*,
    sync::Arc, //
};

/// See [`crate::mapping::Mapping`].
pub(crate) struct Mapping {
    kernel: NotifyingMapping,
}

impl Mapping {
    /// See [`crate::mapping::Mapping::new`].
    pub(crate) fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        notify: Arc<UnmapNotify>,
    ) -> Result<Self> {
        let kernel = NotifyingMapping::new(GrantMapping::new(grants, access)?);
        vma::insert_pages(vma, kernel.frames())?;
        kernel.tell(notify);
        Ok(Self { kernel })
    }

    /// See [`crate::mapping::Mapping::frames`].
    pub(crate) fn frames(&self) -> &MappedFrames {
        self.kernel.frames()
    }
}
