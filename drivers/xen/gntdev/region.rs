// SPDX-License-Identifier: GPL-2.0

//! Regions: grants that a program maps together.

#![forbid(unsafe_code)]

use crate::{
    region_mapping::{
        RegionMapping,
        RegionMemory, //
    },
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
            Fault,
            FaultHandler,
            VmaOwner,
            VmaTable, //
        },
        totals::{
            Held,
            Total, //
        },
    },
};
use kernel::{
    mm::virt::VmaNew,
    new_mutex,
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
        Mutex,
        SetOnce, //
    },
};

/// Grants that are mapped together, at most once.
///
/// Owned by the open file that it belongs to, until the program removes it, and by each VMA that it
/// is mapped at. The last owner that drops it unmaps the grants.
#[pin_data]
pub(crate) struct Region {
    grants: KVVec<ioctl_gntdev_grant_ref>,
    /// `None` while `mmap()` uses it, and when that has succeeded.
    #[pin]
    memory: Mutex<Option<RegionMemory>>,
    /// True if the last `mmap()` failed.
    failed: Atomic<bool>,
    mapped: SetOnce<Mapped>,
    /// Dropped after `mapped`, which takes the event to send it when the last grant is unmapped.
    notify: Notify,
    _count: Held,
}

/// Actions of a region. Dropping it sends the event, if no mapping has taken it.
struct Notify(Arc<UnmapNotify>);

impl Drop for Notify {
    fn drop(&mut self) {
        drop(self.0.take_event());
    }
}

/// State of a region since the `mmap()` that succeeded.
struct Mapped {
    first_page: usize,
    access: Access,
    mapping: RegionMapping,
}

impl Region {
    /// Makes a region of `grants`, not mapped, with frames to map them at. Must not be called with
    /// the mmap lock held. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(grants: KVVec<ioctl_gntdev_grant_ref>) -> Result<Arc<Self>> {
        let memory = RegionMemory::new(grants.len())?;
        let notify = Notify(Arc::pin_init(UnmapNotify::new(), GFP_KERNEL)?);
        Arc::pin_init(
            pin_init!(Self {
                grants,
                memory <- new_mutex!(Some(memory), "Region::memory"),
                failed: Atomic::new(false),
                mapped: SetOnce::new(),
                notify,
                _count: Total::Regions.hold(1),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the number of grants, each of one page.
    pub(crate) fn page_count(&self) -> usize {
        self.grants.len()
    }

    /// Returns the actions when the region is unmapped.
    pub(crate) fn notify(&self) -> &UnmapNotify {
        &self.notify.0
    }

    /// Returns true if the region has been mapped read-only.
    pub(crate) fn is_mapped_read_only(&self) -> bool {
        self.mapped
            .as_ref()
            .is_some_and(|mapped| mapped.access == Access::ReadOnly)
    }

    /// Maps the grants at `vma`, whose file offset and size are those of the region, and gives up
    /// the reference `this`. Called with the mmap lock held for writing. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the region is or was mapped, or another process is mapping it, if Xen refuses a
    /// grant, or if the number of a domain is out of range; `ENOSPC` if Xen has no room for more
    /// mappings; `EOPNOTSUPP` for a grant of this domain where it is auto-translated on x86;
    /// `ENOMEM` for page tables; `EINTR` if a signal is pending; `EAGAIN` if a page is in use since
    /// an earlier attempt. The region can then be mapped again, and none of the grants is left
    /// mapped, except for those of pages that were inserted in the VMA before there was no memory
    /// for the next: they are unmapped by the next attempt, or at the end of the region.
    pub(crate) fn map(this: Arc<Self>, vma: &VmaNew) -> Result {
        let result = this.try_map(vma);
        let index = (vma::first_page(vma) as u64) << PAGE_SHIFT;
        trace::map(index, this.page_count(), vma.writable(), &result);
        // Another thread may have removed the region meanwhile.
        VmaOwner::close(this);
        result
    }

    fn try_map(self: &Arc<Self>, vma: &VmaNew) -> Result {
        let mut memory = self.memory.lock().take().ok_or(EINVAL)?;
        let result = self.map_with(vma, &mut memory);
        self.failed.store(result.is_err(), Relaxed);
        if result.is_err() {
            *self.memory.lock() = Some(memory);
        }
        result
    }

    fn map_with(self: &Arc<Self>, vma: &VmaNew, memory: &mut RegionMemory) -> Result {
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

        let notify = self.notify.0.clone();
        let mapping = RegionMapping::new(vma, self.grant_references(), access, memory, notify)?;
        // `mapped` is still empty: only the owner of `memory` comes here, and a mapping that
        // succeeds does not give it back.
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
            None if self.failed.load(Relaxed) => "failed",
            None => "unmapped",
        };
        seq_print!(seq, "count {} {}", self.page_count(), state);
        self.notify.0.show(seq);
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

impl VmaOwner for Region {
    type Pages = MappedFrames;

    fn table() -> &'static VmaTable<Self> {
        static TABLE: VmaTable<Region> = VmaTable::new();
        static WITH_FAULTS: VmaTable<Region> = VmaTable::with_faults();
        if RegionMapping::can_map_again() {
            &WITH_FAULTS
        } else {
            &TABLE
        }
    }

    fn pages(&self) -> Option<&MappedFrames> {
        self.mapped.as_ref()?.mapping.frames_of_entries()
    }

    fn first_page(&self) -> usize {
        self.mapped.as_ref().map_or(0, |mapped| mapped.first_page)
    }

    /// Leaves the frames and the event to the worker if `this` is the last reference: locks that
    /// are taken when they are given back must not be taken inside of the mmap lock.
    fn close(this: Arc<Self>) {
        let Some(region) = Arc::into_unique_or_drop(this) else {
            return;
        };
        if let Some(mapped) = region.mapped.as_ref() {
            mapped.mapping.kernel().leave_frames_to_worker();
        }
        if let Some(memory) = &*region.memory.lock() {
            memory.leave_to_worker(region.notify.0.clone());
        }
        drop(region);
    }
}

impl FaultHandler for Region {
    fn fault(&self, fault: &Fault<'_>) -> Result {
        let mapped = self.mapped.as_ref().ok_or(EFAULT)?;
        mapped.mapping.map_again(fault)
    }
}
