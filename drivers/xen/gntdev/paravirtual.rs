// SPDX-License-Identifier: GPL-2.0

//! Grants in a process of a paravirtual domain.
//!
//! Each grant is mapped twice: at the kernel address of a frame, so that the kernel can do I/O on
//! the page for the program, and at the program's page-table entry. The latter may only be changed
//! by the hypervisor, so an MMU notifier has it unmapped before the kernel changes the entry.

#![forbid(unsafe_code)]

use crate::{
    unmap_notify::{
        NotifyingMapping,
        UnmapNotify, //
    },
    xen::{
        frames::Frames,
        grant_mapping::GrantMapping,
        grant_operation::{
            Access,
            GrantReference, //
        },
        mmu_notifier::{
            Event,
            IntervalNotifier,
            Invalidate, //
        },
        user_mapping::UserMapping, //
    },
};
use core::ops::Range;
use kernel::{
    mm::virt::VmaNew,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// See [`crate::mapping::Mapping`].
pub(crate) struct Mapping {
    notifier: Pin<KBox<IntervalNotifier<Grants>>>,
}

/// The grants, at the page-table entries and at the kernel's addresses. The former go first.
#[pin_data]
struct Grants {
    /// `None` until they are mapped.
    #[pin]
    user: Mutex<Option<UserMapping>>,
    kernel: NotifyingMapping,
}

impl Mapping {
    /// See [`crate::mapping::Mapping::new`].
    pub(crate) fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>> + Clone,
        access: Access,
        notify: Arc<UnmapNotify>,
    ) -> Result<Self> {
        // A forked process would get page-table entries that the hypervisor did not write.
        vma.set_dontcopy();

        let kernel = NotifyingMapping::new(GrantMapping::new(grants.clone(), access)?);
        let notifier = IntervalNotifier::new(
            vma,
            pin_init!(Grants {
                user <- new_mutex!(None, "Mapping::user"),
                kernel,
            }),
        )?;
        // Nothing can invalidate the range in between: it is not in use before `mmap()` is done.
        let user = UserMapping::new(vma, grants, access)?;
        let target = notifier.target();
        *target.user.lock() = Some(user);
        target.kernel.tell(notify);
        Ok(Self { notifier })
    }

    /// See [`crate::mapping::Mapping::frames`].
    pub(crate) fn frames(&self) -> &Frames {
        self.notifier.target().kernel.frames()
    }
}

impl Invalidate for Grants {
    fn invalidate(&self, pages: Range<usize>, event: Event) {
        self.kernel.before_unmap(pages.clone());
        let mut user = self.user.lock();
        if let Some(user) = &mut *user {
            user.unmap(pages.clone());
        }
        drop(user);

        // Without its page-table entry a page cannot come back: the grant is not needed any more.
        // But where only entries change, somebody else may have looked the page up in this moment
        // and be about to refer to it. Then it waits for the end of the mapping, as does a page
        // that is referred to now.
        if event == Event::Unmap {
            self.kernel.unmap_unreferenced(pages);
        }
    }
}
