// SPDX-License-Identifier: GPL-2.0

//! Grants in a process of an auto-translated domain (PVH, HVM, Arm).
//!
//! The grants are mapped at physical addresses of frames with a `struct page`, and these pages are
//! inserted in the VMA like any others. Each page-table entry holds a reference to its page, and so
//! does a pin. The grants stay mapped until the last reference is gone, also that of a forked
//! process.

#![forbid(unsafe_code)]

use crate::{
    unmap_notify::NotifyingMapping,
    xen::grant::{
        map::MapOperations,
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
    kernel: Arc<NotifyingMapping>,
}

impl AutoTranslatedMapping {
    /// See [`crate::region_mapping::RegionMapping::new`].
    pub(crate) fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        kernel: &Arc<NotifyingMapping>,
        operations: &mut MapOperations,
    ) -> Result<Self> {
        kernel.map(grants, access, operations)?;
        // Pages that were inserted stay in use until the kernel discards the VMA. The next attempt
        // to map unmaps their grants, or the end of the region.
        kernel
            .frames()
            .insert_at(vma)
            .inspect_err(|_| kernel.undo())?;
        Ok(Self {
            kernel: kernel.clone(),
        })
    }

    /// See [`crate::region_mapping::RegionMapping::kernel`].
    pub(crate) fn kernel(&self) -> &NotifyingMapping {
        &self.kernel
    }
}
