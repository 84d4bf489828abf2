// SPDX-License-Identifier: GPL-2.0

//! A region: grants that a program wants to map together.

#![forbid(unsafe_code)]

use crate::{
    mapping::Mapping,
    xen::{
        bindings::ioctl_gntdev_grant_ref,
        grant_operation::{
            Access,
            GrantReference, //
        },
        pages::UnpopulatedPages,
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
/// Owned by the open file that it belongs to, as long as the program has not removed it, and by
/// each VMA that it is mapped at. The last owner that goes unmaps the grants.
pub(crate) struct Region {
    grants: KVVec<ioctl_gntdev_grant_ref>,
    /// Set by the first `mmap()`, also if that failed.
    claimed: Atomic<bool>,
    mapped: SetOnce<Mapped>,
}

/// What the first `mmap()` made of a region.
struct Mapped {
    first_page: usize,
    mapping: Mapping,
}

impl Region {
    /// A region of `grants`, not mapped.
    pub(crate) fn new(grants: KVVec<ioctl_gntdev_grant_ref>) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                grants,
                claimed: Atomic::new(false),
                mapped: SetOnce::new(),
            },
            GFP_KERNEL,
        )?)
    }

    /// The number of grants, each of one page.
    pub(crate) fn page_count(&self) -> usize {
        self.grants.len()
    }

    /// Maps the grants at `vma`, whose file offset and size are those of the region. Called with
    /// the mmap lock held for writing. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the region was mapped before, or Xen refuses a grant, or a domain cannot exist;
    /// `ENOMEM`. None of the grants is left mapped then, or not for longer than it takes the
    /// kernel to discard the VMA.
    pub(crate) fn map(self: &Arc<Self>, vma: &VmaNew) -> Result {
        self.claimed
            .cmpxchg(false, true, Relaxed)
            .map_err(|_| EINVAL)?;

        vma.set_dontexpand();
        vma.set_dontdump();
        vma.set_mixedmap();
        let access = if vma.writable() {
            Access::ReadWrite
        } else {
            if vma.flags() & flags::SHARED != 0 {
                // The page would stay read-only to the hypervisor, and a write by the kernel on
                // the program's behalf would be a fault that it does not expect.
                vma.try_clear_maywrite()?;
            }
            Access::ReadOnly
        };

        let mapping = Mapping::new(vma, self.grant_references(), access)?;
        // Cannot be populated yet: `claimed` lets one caller come here.
        self.mapped.populate(Mapped {
            first_page: vma::first_page(vma),
            mapping,
        });
        vma::attach(vma, self.clone());
        Ok(())
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
    fn table() -> &'static VmaTable<Self> {
        static TABLE: VmaTable<Region> = VmaTable::new();
        &TABLE
    }

    fn frames(&self) -> Option<&UnpopulatedPages> {
        Some(self.mapped.as_ref()?.mapping.frames())
    }

    fn first_page(&self) -> usize {
        self.mapped.as_ref().map_or(0, |mapped| mapped.first_page)
    }
}
