// SPDX-License-Identifier: GPL-2.0

//! Grants of a region in a process, in either memory model.

#![forbid(unsafe_code)]

use crate::{
    auto_translated::AutoTranslatedMapping,
    paravirtual::ParavirtualMapping,
    unmap_notify::{
        NotifyingMapping,
        UnmapNotify, //
    },
    xen::{
        grant::{
            domain,
            map::MapOperations,
            mapping::{
                GrantMapping,
                MappedFrames, //
            },
            operation::{
                Access,
                GrantReference, //
            },
            unpopulated_pages::UnpopulatedPages,
            user_mapping::EntryArrays, //
        },
        kernel::vma::Fault,
    },
};
use kernel::{
    mm::virt::VmaNew,
    prelude::*,
    sync::Arc, //
};

/// Frames and arrays for the mapping of a region. They exist before `mmap()`, because the
/// allocation of frames takes locks that must not be taken inside of the mmap lock.
pub(crate) struct RegionMemory {
    kernel: Arc<NotifyingMapping>,
    operations: MapOperations,
    /// Room for what is kept of page-table entries; none in an auto-translated domain.
    entries: EntryArrays,
}

impl RegionMemory {
    /// Allocates frames and arrays for `count` grants. Must not be called with the mmap lock held.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(count: usize) -> Result<Self> {
        let entry_count = if domain::is_paravirtual() { count } else { 0 };
        let operations = MapOperations::with_capacity(count)?;
        let entries = EntryArrays::with_capacity(entry_count)?;
        let frames = UnpopulatedPages::new(count)?;
        let grants = GrantMapping::empty(frames.into(), None)?;
        Ok(Self {
            kernel: Arc::new(NotifyingMapping::new(grants), GFP_KERNEL)?,
            operations,
            entries,
        })
    }

    /// Leaves the frames and the actions `notify` to the worker, for the end of a region that is
    /// not mapped. See [`NotifyingMapping::leave_frames_to_worker`].
    pub(crate) fn leave_to_worker(&self, notify: Arc<UnmapNotify>) {
        self.kernel.tell(notify);
        self.kernel.leave_frames_to_worker();
    }
}

/// Grants that are mapped in a process. Dropping it unmaps them.
pub(crate) enum RegionMapping {
    /// The hardware translates physical addresses of the kernel (PVH, HVM, Arm).
    AutoTranslated(AutoTranslatedMapping),
    /// The page tables hold machine addresses, and the hypervisor writes the entries.
    Paravirtual(ParavirtualMapping),
}

impl RegionMapping {
    /// Maps `grants` at the pages of `vma`, in the memory model of this domain. When that is done,
    /// `memory` has nothing left that this mapping needs. The end of the mapping does what `notify`
    /// says.
    ///
    /// Called while the VMA is set up, with the mmap lock held for writing. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if Xen refuses a grant; `ENOSPC` if it has no room for more mappings; `EOPNOTSUPP`
    /// for a grant of this domain where it is auto-translated on x86; `ENOMEM` for page tables;
    /// `EINTR` if a signal is pending; `EAGAIN` if a page is in use since an attempt before.
    /// `memory` can then be used again.
    pub(crate) fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>> + Clone,
        access: Access,
        memory: &mut RegionMemory,
        notify: Arc<UnmapNotify>,
    ) -> Result<Self> {
        let RegionMemory {
            kernel,
            operations,
            entries,
        } = memory;
        let mapping = if domain::is_paravirtual() {
            Self::Paravirtual(ParavirtualMapping::new(
                vma, grants, access, kernel, operations, entries,
            )?)
        } else {
            Self::AutoTranslated(AutoTranslatedMapping::new(
                vma, grants, access, kernel, operations,
            )?)
        };
        mapping.kernel().tell(notify);
        Ok(mapping)
    }

    /// Returns true if page-table entries can be missing that [`Self::map_again`] makes.
    pub(crate) fn can_map_again() -> bool {
        domain::is_paravirtual()
    }

    /// Maps the grant again whose page-table entry is missing for `fault`. Called with the mmap
    /// lock held for reading. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the process does not have the page any more, or no right to the access, or if
    /// Xen refuses the grant; `ENOMEM`.
    pub(crate) fn map_again(&self, fault: &Fault<'_>) -> Result {
        match self {
            Self::AutoTranslated(_) => Err(EFAULT),
            Self::Paravirtual(mapping) => mapping.map_again(fault),
        }
    }

    /// Returns the frames behind page-table entries whose frame numbers do not lead to them, which
    /// paravirtual domains have. `None` once the hypervisor has kept an entry: see
    /// [`UserMapping::is_intact`](crate::xen::grant::user_mapping::UserMapping::is_intact).
    pub(crate) fn frames_of_entries(&self) -> Option<&MappedFrames> {
        match self {
            Self::AutoTranslated(_) => None,
            Self::Paravirtual(mapping) => mapping.is_intact().then(|| mapping.kernel().frames()),
        }
    }

    /// Returns the mapping of the grants at kernel addresses.
    pub(crate) fn kernel(&self) -> &NotifyingMapping {
        match self {
            Self::AutoTranslated(mapping) => mapping.kernel(),
            Self::Paravirtual(mapping) => mapping.kernel(),
        }
    }
}
