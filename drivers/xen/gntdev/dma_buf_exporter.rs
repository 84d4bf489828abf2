// SPDX-License-Identifier: GPL-2.0

//! An exported dma-buf: its grants, and its mappings in processes.
//!
//! In an auto-translated domain the frames themselves are mapped. In a paravirtual one each VMA
//! gets mappings of the grants of its own at its page-table entries, as regions do.

#![forbid(unsafe_code)]

use crate::{
    dma_buf_wait::{
        Record,
        ReleaseNotice, //
    },
    parameters::LIMIT,
    xen::{
        dma_buf::export::{
            Buffer,
            DmaBufOps,
            Exporter,
            NewMapping, //
        },
        gntdev::trace,
        grant::{
            domain,
            mapping::MappedFrames,
            operation::{
                Access,
                GrantReference, //
            },
            user_mapping::UserMapping, //
        },
        kernel::vma::{
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
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// Whose grants a dma-buf consists of.
pub(crate) struct Export {
    domain: u16,
    references: KVVec<u32>,
    record: Arc<Record>,
    /// How many pages of processes have one of the grants mapped at their page-table entries.
    process_pages: Atomic<usize>,
}

impl Export {
    /// What is known of a buffer of the grants `references` of `domain`.
    pub(crate) fn new(domain: u16, references: KVVec<u32>, record: Arc<Record>) -> Self {
        Self {
            domain,
            references,
            record,
            process_pages: Atomic::new(0),
        }
    }

    /// The `count` grants from the page `first` of the buffer on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are not so many.
    fn grants(
        &self,
        first: usize,
        count: usize,
    ) -> Result<impl ExactSizeIterator<Item = Result<GrantReference>> + '_> {
        let references = first
            .checked_add(count)
            .and_then(|end| self.references.get(first..end))
            .ok_or(EINVAL)?;
        Ok(grant_references(self.domain, references))
    }
}

impl Exporter for Export {
    type End = ReleaseNotice;

    fn operations() -> &'static DmaBufOps<Self> {
        static OPERATIONS: DmaBufOps<Export> = DmaBufOps::new();
        &OPERATIONS
    }

    fn map_at(buffer: &Arc<Buffer<Self>>, mapping: NewMapping<'_>) -> Result {
        map(buffer, mapping)
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if self.record.is_in_index() {
            trace::dmabuf_release(self.domain, self.references.len());
        }
    }
}

/// The grants `references` of `domain`.
pub(crate) fn grant_references(
    domain: u16,
    references: &[u32],
) -> impl ExactSizeIterator<Item = Result<GrantReference>> + '_ {
    references
        .iter()
        .map(move |&reference| Ok(GrantReference { domain, reference }))
}

/// Maps a part of `buffer` in the calling process. Called with the mmap lock held for writing. May
/// sleep.
///
/// # Errors
///
/// `EINVAL` for a private mapping, or if Xen refuses a grant; `ENOMEM`, also if processes have the
/// buffer mapped too often: see [`ProcessPages::claim`].
fn map(buffer: &Arc<Buffer<Export>>, mapping: NewMapping<'_>) -> Result {
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
    type Pages = MappedFrames;

    fn table() -> &'static VmaTable<Self> {
        static TABLE: VmaTable<ProcessView> = VmaTable::new();
        &TABLE
    }

    fn pages(&self) -> Option<&MappedFrames> {
        Some(self.pages.buffer().frames())
    }

    fn first_page(&self) -> usize {
        0
    }
}

/// Pages of processes that have a grant of a buffer mapped at their page-table entries.
struct ProcessPages {
    buffer: Arc<Buffer<Export>>,
    count: usize,
}

impl ProcessPages {
    /// Counts `count` more for `buffer`. Each takes an entry in the table of mappings that the
    /// hypervisor has for this domain. Who has a dma-buf need not be one who may open the device,
    /// and must not be able to use up that table by mapping it again and again.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if that were more than one buffer can have grants, and more than this one has.
    fn claim(buffer: Arc<Buffer<Export>>, count: usize) -> Result<Self> {
        let export = buffer.exporter();
        let limit = export.references.len().max(LIMIT.get() as usize);
        let before = export.process_pages.fetch_add(count, Relaxed);
        // Dropping `pages` undoes the increment, also on error.
        let pages = Self { buffer, count };
        if before.saturating_add(count) > limit {
            return Err(ENOMEM);
        }
        Ok(pages)
    }

    /// The buffer.
    fn buffer(&self) -> &Buffer<Export> {
        &self.buffer
    }
}

impl Drop for ProcessPages {
    fn drop(&mut self) {
        let export = self.buffer.exporter();
        export.process_pages.fetch_sub(self.count, Relaxed);
    }
}
