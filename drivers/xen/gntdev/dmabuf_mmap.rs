// SPDX-License-Identifier: GPL-2.0

//! An exported dma-buf in the address space of a process.
//!
//! In an auto-translated domain the frames themselves are mapped. In a paravirtual one each VMA
//! gets mappings of the grants of its own at its page-table entries, as regions do.

#![forbid(unsafe_code)]

use crate::{
    dmabuf_export::Export,
    xen::{
        dma_buf::{
            Exporter,
            NewMapping, //
        },
        domain,
        frames::Frames,
        grant_operation::Access,
        mmu_notifier::{
            Event,
            IntervalNotifier,
            Invalidate, //
        },
        user_mapping::UserMapping,
        vma::{
            self,
            VmaOwner,
            VmaTable, //
        },
    },
};
use core::ops::Range;
use kernel::{
    mm::virt::{
        flags,
        VmaNew, //
    },
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// Maps a part of `export` in the calling process. Called with the mmap lock held for writing. May
/// sleep.
///
/// # Errors
///
/// `EINVAL` for a private mapping, or if Xen refuses a grant; `ENOMEM`.
pub(crate) fn map(export: &Arc<Export>, mapping: NewMapping<'_>) -> Result {
    let vma = mapping.vma();
    if vma.flags() & flags::SHARED == 0 {
        return Err(EINVAL);
    }
    vma.set_dontexpand();
    vma.set_dontdump();
    if domain::is_paravirtual() {
        ProcessView::attach(export.clone(), vma)
    } else {
        mapping.insert()
    }
}

/// Grants at the page-table entries of a VMA, and of those that are split off it.
struct ProcessView {
    /// The first field: the process lets go before the export can.
    _notifier: Pin<KBox<IntervalNotifier<Grants>>>,
    export: Arc<Export>,
}

#[pin_data]
struct Grants {
    /// `None` until they are mapped. Taken inside of MMU notifiers: nothing is allocated while it
    /// is held.
    #[pin]
    user: Mutex<Option<UserMapping>>,
}

impl ProcessView {
    /// Maps the grants that the file offset and the size of `vma` say, and leaves the result to it.
    fn attach(export: Arc<Export>, vma: &VmaNew) -> Result {
        // A forked process would get page-table entries that the hypervisor did not write.
        vma.set_dontcopy();
        vma.set_mixedmap();
        let access = if vma.writable() {
            Access::ReadWrite
        } else {
            // The page is read-only to the hypervisor, whatever the kernel's entry comes to say.
            vma.try_clear_maywrite()?;
            Access::ReadOnly
        };

        let notifier = IntervalNotifier::new(
            vma,
            pin_init!(Grants {
                user <- new_mutex!(None, "ProcessView::user"),
            }),
        )?;
        // Nothing can invalidate the range in between: it is not in use before `mmap()` is done.
        let grants = export.grants(vma::first_page(vma), vma::page_count(vma))?;
        let user = UserMapping::new(vma, grants, access)?;
        *notifier.target().user.lock() = Some(user);

        let view = Arc::new(
            Self {
                _notifier: notifier,
                export,
            },
            GFP_KERNEL,
        )?;
        vma::attach(vma, view);
        Ok(())
    }
}

impl Invalidate for Grants {
    fn invalidate(&self, pages: Range<usize>, _event: Event) {
        // The mapping at the kernel's address stays: it is the buffer's, not this process'.
        if let Some(user) = &mut *self.user.lock() {
            user.unmap(pages);
        }
    }
}

impl VmaOwner for ProcessView {
    fn table() -> &'static VmaTable<Self> {
        static TABLE: VmaTable<ProcessView> = VmaTable::new();
        &TABLE
    }

    fn frames(&self) -> Option<&Frames> {
        Some(self.export.frames())
    }

    fn first_page(&self) -> usize {
        0
    }
}
