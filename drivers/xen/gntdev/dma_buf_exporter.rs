// SPDX-License-Identifier: GPL-2.0

//! An exported dma-buf: its grants, and its mappings in processes.
//!
//! In an auto-translated domain the frames themselves are mapped. In a paravirtual domain each VMA
//! gets its own mappings of the grants, at its page-table entries, as regions do.

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
            Fault,
            FaultHandler,
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

/// Grants that a dma-buf consists of.
pub(crate) struct Export {
    domain: u16,
    references: KVVec<u32>,
    record: Arc<Record>,
    /// Number of pages of processes that have one of the grants mapped at their page-table entries.
    process_pages: Atomic<usize>,
}

impl Export {
    /// Makes the state for a buffer of the grants `references` of `domain`.
    pub(crate) fn new(domain: u16, references: KVVec<u32>, record: Arc<Record>) -> Self {
        Self {
            domain,
            references,
            record,
            process_pages: Atomic::new(0),
        }
    }

    /// Returns the `count` grants from the page `first` of the buffer on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are fewer grants.
    fn grants_at(
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

    fn grants(&self) -> impl ExactSizeIterator<Item = Result<GrantReference>> + '_ {
        grant_references(self.domain, &self.references)
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

/// Returns the grants `references` of `domain`.
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
/// `EINVAL` for a private mapping, or if Xen refuses a grant; `ENOSPC` if it has no room for more
/// mappings; `ENOMEM`, also if processes have mapped the buffer too often: see
/// [`ProcessPages::claim`].
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

/// Grants at the page-table entries of a VMA, and of VMAs that are split off it.
///
/// The mapping at kernel addresses stays when entries change: it belongs to the buffer, not to this
/// process.
struct ProcessView {
    /// The first field, so that the entries are unmapped before the buffer can be released.
    user: UserMapping<()>,
    pages: ProcessPages,
}

impl ProcessView {
    /// Maps the grants for the file offset and the size of `vma`, and makes `vma` the owner of the
    /// result.
    fn attach(buffer: Arc<Buffer<Export>>, vma: &VmaNew) -> Result {
        let access = if vma.writable() {
            Access::ReadWrite
        } else {
            // The hypervisor maps the page read-only, so the kernel's entry must never become
            // writable.
            vma.try_clear_maywrite()?;
            Access::ReadOnly
        };
        let count = vma::page_count(vma);
        let pages = ProcessPages::claim(buffer, count)?;
        let export = pages.buffer().exporter();
        let grants = export.grants_at(vma::first_page(vma), count)?;
        let user = UserMapping::new(vma, grants, access, ())?;
        let view = Arc::new(Self { user, pages }, GFP_KERNEL)?;
        vma::attach(vma, view);
        Ok(())
    }
}

impl VmaOwner for ProcessView {
    type Pages = MappedFrames;

    fn table() -> &'static VmaTable<Self> {
        static TABLE: VmaTable<ProcessView> = VmaTable::with_faults();
        &TABLE
    }

    fn pages(&self) -> Option<&MappedFrames> {
        let frames = || self.pages.buffer().frames();
        self.user.is_intact().then(frames)
    }

    fn first_page(&self) -> usize {
        0
    }
}

impl FaultHandler for ProcessView {
    fn fault(&self, fault: &Fault<'_>) -> Result {
        self.user.map_again(fault)
    }
}

/// Count of pages of processes that have a grant of a buffer mapped at their page-table entries.
/// Dropping it subtracts them from the count of the buffer.
struct ProcessPages {
    buffer: Arc<Buffer<Export>>,
    count: usize,
}

impl ProcessPages {
    /// Adds `count` pages for `buffer`. Each takes an entry of the hypervisor's maptrack table of
    /// this domain. A process that has the dma-buf need not be allowed to open the device, and must
    /// not be able to exhaust that table by mapping the buffer repeatedly.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if that exceeds both the limit of grants in one buffer and the number of grants of
    /// this buffer.
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

    /// Returns the buffer.
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
