// SPDX-License-Identifier: GPL-2.0

//! Regions: grants that a program maps together.

#![forbid(unsafe_code)]

use crate::{
    region_mapping::RegionMapping,
    unmap_notify::UnmapNotify,
    xen::{
        gntdev::{
            trace,
            uapi::ioctl_gntdev_grant_ref, //
        },
        grant::{
            mapping::MappedFrames,
            operation::{
                Access,
                GrantReference, //
            },
        },
        kernel::vma::{
            self,
            VmaOwner,
            VmaTable, //
        },
    },
};
use kernel::{
    mm::virt::VmaNew,
    page::PAGE_SHIFT,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SetOnce, //
    },
};

/// Grants that are mapped together, at most once.
///
/// Owned by the open file that it belongs to, until the program removes it, and by each VMA that it
/// is mapped at. The last owner that drops it unmaps the grants.
pub(crate) struct Region {
    grants: KVVec<ioctl_gntdev_grant_ref>,
    /// Set by the first `mmap()`, also if that fails.
    claimed: Atomic<bool>,
    mapped: SetOnce<Mapped>,
    notify: Arc<UnmapNotify>,
}

/// State of a region since its `mmap()`.
struct Mapped {
    first_page: usize,
    access: Access,
    mapping: RegionMapping,
}

impl Region {
    /// Makes a region of `grants`, not mapped.
    pub(crate) fn new(grants: KVVec<ioctl_gntdev_grant_ref>) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                grants,
                claimed: Atomic::new(false),
                mapped: SetOnce::new(),
                notify: Arc::pin_init(UnmapNotify::new(), GFP_KERNEL)?,
            },
            GFP_KERNEL,
        )?)
    }

    /// Returns the number of grants, each of one page.
    pub(crate) fn page_count(&self) -> usize {
        self.grants.len()
    }

    /// Returns the actions when the region is unmapped.
    pub(crate) fn notify(&self) -> &UnmapNotify {
        &self.notify
    }

    /// Returns true if the region has been mapped read-only.
    pub(crate) fn is_mapped_read_only(&self) -> bool {
        self.mapped
            .as_ref()
            .is_some_and(|mapped| mapped.access == Access::ReadOnly)
    }

    /// Maps the grants at `vma`, whose file offset and size are those of the region. Called with
    /// the mmap lock held for writing. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the region was mapped before, if Xen refuses a grant, or if the number of a
    /// domain is out of range; `ENOMEM`. None of the grants is then left mapped once the kernel has
    /// discarded the VMA.
    pub(crate) fn map(self: &Arc<Self>, vma: &VmaNew) -> Result {
        let result = self.try_map(vma);
        let index = (vma::first_page(vma) as u64) << PAGE_SHIFT;
        trace::map(index, self.page_count(), vma.writable(), &result);
        result
    }

    fn try_map(self: &Arc<Self>, vma: &VmaNew) -> Result {
        self.claimed
            .cmpxchg(false, true, Relaxed)
            .map_err(|_| EINVAL)?;

        vma.set_dontexpand();
        vma.set_dontdump();
        vma.set_mixedmap();
        let access = if vma.writable() {
            Access::ReadWrite
        } else {
            // The page stays read-only to the hypervisor, and a write by the kernel for the program
            // would be an unexpected fault. A private mapping that became writable would copy pages
            // of another domain, or lose them in a paravirtual domain.
            vma.try_clear_maywrite()?;
            Access::ReadOnly
        };

        let mapping =
            RegionMapping::new(vma, self.grant_references(), access, self.notify.clone())?;
        // `mapped` is still empty: `claimed` lets one caller come here.
        self.mapped.populate(Mapped {
            first_page: vma::first_page(vma),
            access,
            mapping,
        });
        vma::attach(vma, self.clone());
        Ok(())
    }

    /// Prints the region for fdinfo. May sleep.
    pub(crate) fn show(&self, seq: &SeqFile) {
        let state = match self.mapped.as_ref() {
            Some(mapped) => match mapped.access {
                Access::ReadOnly => "read-only",
                Access::ReadWrite => "read-write",
            },
            None if self.claimed.load(Relaxed) => "failed",
            None => "unmapped",
        };
        seq_print!(seq, "count {} {}", self.page_count(), state);
        self.notify.show(seq);
        seq_print!(seq, "\n");
    }

    fn grant_references(
        &self,
    ) -> impl ExactSizeIterator<Item = Result<GrantReference>> + Clone + '_ {
        self.grants
            .iter()
            .map(|grant| GrantReference::from_user(grant.domid, grant.ref_))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // A mapping sends the event when it ends; without a mapping the end of the region sends it.
        if self.mapped.as_ref().is_none() {
            drop(self.notify.take_event());
        }
    }
}

impl VmaOwner for Region {
    type Pages = MappedFrames;

    fn table() -> &'static VmaTable<Self> {
        static TABLE: VmaTable<Region> = VmaTable::new();
        &TABLE
    }

    fn pages(&self) -> Option<&MappedFrames> {
        Some(self.mapped.as_ref()?.mapping.frames())
    }

    fn first_page(&self) -> usize {
        self.mapped.as_ref().map_or(0, |mapped| mapped.first_page)
    }
}
