// SPDX-License-Identifier: GPL-2.0

//! Grants mapped at kernel addresses, and the frames under them.
//!
//! C header: `include/xen/grant_table.h`.

use super::{
    bindings,
    deferred::{
        self,
        Deferred, //
    },
    domain,
    evtchn::SendOnDrop,
    frames::Frames,
    grant_operation::{
        self,
        Access,
        GrantReference,
        Target, //
    },
    pages::UnpopulatedPages,
    trace,
    unmap_operations::UnmapOperations, //
};
use core::{
    mem::ManuallyDrop,
    ops::{
        Deref,
        Range, //
    },
    ptr, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::Mutex, //
};

/// Grants of other domains, mapped at the kernel addresses of frames of ours.
///
/// Dropping it unmaps the grants and then gives the frames back. A grant whose frame something else
/// refers to waits, and so do the frames, without blocking the one who drops: see
/// [`deferred`]. May be dropped wherever sleeping is allowed, but not inside of an MMU
/// notifier.
pub(crate) struct GrantMapping {
    grants: ManuallyDrop<Pin<KBox<MappedGrants>>>,
}

/// The frames of a [`GrantMapping`], which alone has such a value: they are not given back as long
/// as anything refers to one of them.
pub(crate) struct MappedFrames(Frames);

impl Deref for MappedFrames {
    type Target = Frames;

    fn deref(&self) -> &Frames {
        &self.0
    }
}

/// What a [`GrantMapping`] owns.
#[pin_data(PinnedDrop)]
pub(crate) struct MappedGrants {
    frames: ManuallyDrop<MappedFrames>,
    /// What the grants allow.
    access: Access,
    /// One for each frame.
    ///
    /// Taken inside of the mmap lock and of MMU notifiers, so that nothing may be allocated while
    /// it is held.
    #[pin]
    unmap: Mutex<UnmapOperations>,
    /// Sent when all of this has ended: of what the grants need, it is dropped last.
    event: Option<SendOnDrop>,
    /// Dropped when all of this has ended, by which somebody learns of it.
    _notice: Option<KBox<dyn Send + Sync>>,
    /// The list of [`deferred`].
    pub(super) next: Option<Deferred>,
}

impl GrantMapping {
    /// Maps `grants` at new frames, with one hypercall (C: `gnttab_map_refs()`). May sleep, for
    /// long if the granting domain's pages are paged out.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if Xen refused one of the grants, and then none is left mapped.
    pub(crate) fn new(
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
    ) -> Result<Self> {
        let frames = UnpopulatedPages::new(grants.len())?;
        Self::at(frames.into(), grants, access, None)
    }

    /// Maps `grants` at `frames`, with one hypercall. May sleep, for long if the granting domain's
    /// pages are paged out.
    ///
    /// `notice` is dropped when the grants have been unmapped and the frames given back, also if
    /// mapping fails.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if there are not as many grants as frames, or if Xen refused one of the
    /// grants, and then none is left mapped.
    pub(crate) fn at(
        frames: Frames,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        notice: Option<KBox<dyn Send + Sync>>,
    ) -> Result<Self> {
        if frames.len() != grants.len() {
            return Err(EINVAL);
        }
        let mut map = KVVec::with_capacity(grants.len(), GFP_KERNEL | __GFP_NOWARN)?;
        let mut push = |grant: Result<GrantReference>, address| -> Result {
            let operation = grant_operation::map_operation(grant?, Target::Kernel(address), access);
            map.push_within_capacity(operation)?;
            Ok(())
        };
        if domain::is_paravirtual() {
            for (grant, address) in grants.zip(frames.linear_addresses()) {
                push(grant, address)?;
            }
        } else {
            for (grant, address) in grants.zip(frames.physical_addresses()) {
                push(grant, address)?;
            }
        }
        // What undoes the mapping is ready before there is anything to undo: from the hypercall on,
        // dropping `mapping` unmaps whatever was mapped.
        let unmap = UnmapOperations::with_capacity(map.len())?;
        let mapping = Self {
            grants: ManuallyDrop::new(KBox::pin_init(
                MappedGrants::new(frames, access, unmap, notice),
                GFP_KERNEL,
            )?),
        };

        // SAFETY: `map` and the pages are arrays of this length. The frames are unused, so that
        // nothing is lost when the hypervisor puts other pages there. The C function writes to the
        // pages, but not to the array of pointers.
        let result = trace::hypercall(bindings::GNTTABOP_map_grant_ref, map.len(), || unsafe {
            bindings::gnttab_map_refs(
                map.as_mut_ptr(),
                ptr::null_mut(),
                mapping.grants.frames.pages().as_ptr().cast_mut(),
                map.len() as u32,
            )
        });

        let all = mapping.grants.unmap.lock().add(&map)?;
        if result != 0 || !all {
            return Err(EINVAL);
        }
        Ok(mapping)
    }

    /// The frames that the grants are mapped at.
    pub(crate) fn frames(&self) -> &MappedFrames {
        &self.grants.frames
    }

    /// Clears the byte at `offset` from the start of the first frame, if it can be written: the
    /// grant there is still mapped, and not read-only. May sleep, allocates nothing.
    pub(crate) fn clear_byte(&self, offset: usize) {
        self.grants.clear_byte(offset);
    }

    /// Has `event` sent when the grants have been unmapped and the mapping is gone.
    pub(crate) fn send_at_end(&mut self, event: SendOnDrop) {
        *self.grants.as_mut().project().event = Some(event);
    }

    /// Unmaps the grants at the frames of `range` that nothing else refers to, and leaves the
    /// others to the end of the mapping. May sleep, allocates nothing.
    pub(crate) fn unmap_unreferenced(&self, range: Range<usize>) {
        self.grants.unmap_unreferenced(range);
    }
}

impl Drop for GrantMapping {
    fn drop(&mut self) {
        // SAFETY: `self.grants` is not used after this.
        let grants = unsafe { ManuallyDrop::take(&mut self.grants) };
        if let Some(rest) = Deferred::Mapping(grants).finish() {
            deferred::defer(rest);
        }
    }
}

impl MappedGrants {
    fn new(
        frames: Frames,
        access: Access,
        unmap: UnmapOperations,
        notice: Option<KBox<dyn Send + Sync>>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            frames: ManuallyDrop::new(MappedFrames(frames)),
            access,
            unmap <- new_mutex!(unmap, "MappedGrants::unmap"),
            event: None,
            _notice: notice,
            next: None,
        })
    }

    /// The number of frames.
    pub(super) fn count(&self) -> usize {
        self.frames.len()
    }

    /// Unmaps all grants and gives the frames back. If something else still refers to some of the
    /// frames it unmaps the others and returns `grants`. May sleep, allocates nothing.
    pub(super) fn release(grants: Pin<KBox<Self>>) -> Option<Pin<KBox<Self>>> {
        if grants.unmap_unreferenced(0..grants.count()) {
            None
        } else {
            Some(grants)
        }
    }

    fn clear_byte(&self, offset: usize) {
        if self.access == Access::ReadOnly {
            return;
        }
        let unmap = self.unmap.lock();
        let mapped = unmap.is_mapped(offset / PAGE_SIZE);
        if let Some(byte) = self.frames.byte(offset).filter(|_| mapped) {
            // SAFETY: A grant is mapped at the frame for writing, and stays so while the lock is
            // held. The other domain may access it at the same time, hence volatile.
            unsafe { byte.write_volatile(0) };
            trace::notify_byte(offset);
        }
    }

    /// Unmaps the grants in `range` whose frames nothing else refers to. Returns whether these were
    /// all.
    fn unmap_unreferenced(&self, range: Range<usize>) -> bool {
        self.unmap.lock().for_each_free_run(
            range,
            |index| self.frames.is_unreferenced(index),
            |run, operations| self.unmap_run(run.start, operations),
        )
    }

    /// Unmaps with one hypercall the grants at the frames from `first` on. Returns how many of them
    /// the hypervisor refused.
    fn unmap_run(
        &self,
        first: usize,
        operations: &mut [bindings::gnttab_unmap_grant_ref],
    ) -> usize {
        trace::hypercall(
            bindings::GNTTABOP_unmap_grant_ref,
            operations.len(),
            // SAFETY: The operations stand for mappings at `operations.len()` of our frames from
            // `first` on, and nothing else refers to these. The C function does not write to the
            // array of pointers. Its result says less than the status of each operation.
            || unsafe {
                bindings::gnttab_unmap_refs(
                    operations.as_mut_ptr(),
                    ptr::null_mut(),
                    self.frames.pages().as_ptr().add(first).cast_mut(),
                    operations.len() as u32,
                )
            },
        );
        let refused = grant_operation::settle_unmaps(operations);
        trace::unmap(operations.len(), refused, false);
        refused
    }
}

#[pinned_drop]
impl PinnedDrop for MappedGrants {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        // SAFETY: `frames` is not used after this, because `self` is being dropped.
        let MappedFrames(frames) = unsafe { ManuallyDrop::take(this.frames) };
        if this.unmap.lock().any_mapped() {
            // Xen refused to unmap, which was reported. Losing the frames is the lesser harm.
            frames.lose();
        }
    }
}
