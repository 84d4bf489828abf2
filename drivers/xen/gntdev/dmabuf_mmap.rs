// SPDX-License-Identifier: GPL-2.0

//! An exported dma-buf in the address space of a process.
//!
//! In an auto-translated domain the frames themselves are mapped. In a paravirtual one each VMA
//! gets mappings of the grants of its own at its page-table entries, as regions do.

#![forbid(unsafe_code)]

use crate::{
    dmabuf_export::{
        Export,
        ProcessPages, //
    },
    xen::{
        dma_buf::{
            Buffer,
            NewMapping, //
        },
        domain,
        grant_mapping::MappedFrames,
        grant_operation::Access,
        user_mapping::UserMapping,
        vma::{
            self,
            VmaOwner,
            VmaTable, //
        },
    },
};
use kernel::{
    mm::virt::{
        flags,
        VmaNew, //
    },
    prelude::*,
    sync::Arc, //
};

/// Maps a part of `buffer` in the calling process. Called with the mmap lock held for writing. May
/// sleep.
///
/// # Errors
///
/// `EINVAL` for a private mapping, or if Xen refuses a grant; `ENOMEM`, also if processes have the
/// buffer mapped too often: see [`ProcessPages::claim`].
pub(crate) fn map(buffer: &Arc<Buffer<Export>>, mapping: NewMapping<'_>) -> Result {
    let vma = mapping.vma();
    if vma.flags() & flags::SHARED == 0 {
        return Err(EINVAL);
    }
    vma.set_dontexpand();
    vma.set_dontdump();
    if domain::is_paravirtual() {
        ProcessView::attach(buffer.clone(), vma)
    } else {
        mapping.insert()
    }
}

/// Grants at the page-table entries of a VMA, and of those that are split off it.
///
/// The mapping at the kernel's addresses stays when entries change: it is the buffer's, not this
/// process'.
struct ProcessView {
    /// The first field: the process lets go before the buffer can.
    _user: UserMapping<()>,
    pages: ProcessPages,
}

impl ProcessView {
    /// Maps the grants that the file offset and the size of `vma` say, and leaves the result to it.
    fn attach(buffer: Arc<Buffer<Export>>, vma: &VmaNew) -> Result {
        let access = if vma.writable() {
            Access::ReadWrite
        } else {
            // The page is read-only to the hypervisor, whatever the kernel's entry comes to say.
            vma.try_clear_maywrite()?;
            Access::ReadOnly
        };
        let count = vma::page_count(vma);
        let pages = ProcessPages::claim(buffer, count)?;
        let export = pages.buffer().exporter();
        let grants = export.grants(vma::first_page(vma), count)?;
        let user = UserMapping::new(vma, grants, access, ())?;
        let view = Arc::new(Self { _user: user, pages }, GFP_KERNEL)?;
        vma::attach(vma, view);
        Ok(())
    }
}

impl VmaOwner for ProcessView {
    fn table() -> &'static VmaTable<Self> {
        static TABLE: VmaTable<ProcessView> = VmaTable::new();
        &TABLE
    }

    fn frames(&self) -> Option<&MappedFrames> {
        Some(self.pages.buffer().frames())
    }

    fn first_page(&self) -> usize {
        0
    }
}
