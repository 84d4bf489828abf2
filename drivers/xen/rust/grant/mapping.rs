// SPDX-License-Identifier: GPL-2.0

//! Grants mapped at kernel addresses, and the frames under them.
//!
//! C header: `include/xen/grant_table.h`.

use super::{
    deferred::{
        self,
        Deferred,
        Link, //
    },
    domain,
    frames::Frames,
    hypercall,
    operation::{
        self,
        Access,
        GrantReference,
        Target, //
    },
    unmap::UnmapOperations,
    unpopulated_pages::UnpopulatedPages, //
};
use crate::xen::{
    bindings,
    kernel::page_array::PageArray, //
};
use core::{
    mem::ManuallyDrop,
    ops::{
        Deref,
        Range, //
    },
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    mm::virt::VmaNew,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::Mutex, //
};

/// Grants of other domains, mapped at the kernel addresses of frames of this domain.
///
/// Dropping it unmaps the grants and then frees the frames. Grants whose frames are still
/// referenced, and all frames, are left to [`deferred`], so that dropping never waits for others.
/// Drop may sleep, and must not be called inside of an MMU notifier.
///
/// The value of type `E` is dropped after the grants have been unmapped and the frames freed, also
/// if mapping fails; its owner learns of the end by that. Its drop may sleep.
pub(crate) struct GrantMapping<E: Send + Sync + 'static> {
    grants: ManuallyDrop<Pin<KBox<MappedGrants<E>>>>,
}

/// Frames of a [`GrantMapping`], which is the only owner of such a value. They are not freed as
/// long as anything refers to one of them.
pub(crate) struct MappedFrames(Frames);

impl MappedFrames {
    /// Maps all frames at the pages of `vma`, which must have as many. May sleep. Each page-table
    /// entry holds a reference to its frame, so that the grant stays mapped until the last entry is
    /// gone.
    ///
    /// # Errors
    ///
    /// `ENXIO` if the numbers differ; `EINVAL` for frames for DMA; `ENOMEM`. Some pages may then
    /// have been mapped: the kernel unmaps them when `mmap()` fails.
    pub(crate) fn insert_at(&self, vma: &VmaNew) -> Result {
        self.0.insert_at(vma)
    }
}

impl Deref for MappedFrames {
    type Target = Frames;

    fn deref(&self) -> &Frames {
        &self.0
    }
}

// SAFETY: By the safety requirements of `PageArray`, which `Frames` meets.
unsafe impl PageArray for MappedFrames {
    fn pages(&self) -> &[*mut bindings::page] {
        self.0.pages()
    }
}

/// State of a [`GrantMapping`], which can outlive it on the list of [`deferred`].
#[pin_data(PinnedDrop)]
struct MappedGrants<E> {
    frames: ManuallyDrop<MappedFrames>,
    /// Access rights of the mappings.
    access: Access,
    /// Unmap operations, one for each frame.
    ///
    /// Taken inside of the mmap lock and of MMU notifiers, so that nothing may be allocated while
    /// it is held.
    #[pin]
    unmap: Mutex<UnmapOperations>,
    /// Dropped last, after `drop()` has freed the frames.
    end: E,
    link: Link,
}

impl<E: Send + Sync + 'static> GrantMapping<E> {
    /// Maps `grants` at new frames, with one hypercall (C: `gnttab_map_refs()`). May sleep, for
    /// long if pages of the granting domain are paged out.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if Xen refused one of the grants, in which case none is left mapped.
    pub(crate) fn new(
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        end: E,
    ) -> Result<Self> {
        let frames = UnpopulatedPages::new(grants.len())?;
        Self::at(frames.into(), grants, access, end)
    }

    /// Maps `grants` at `frames`, with one hypercall. May sleep, for long if pages of the granting
    /// domain are paged out.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if there are not as many grants as frames, or if Xen refused one of the
    /// grants, in which case none is left mapped.
    pub(crate) fn at(
        frames: Frames,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        end: E,
    ) -> Result<Self> {
        if frames.len() != grants.len() {
            return Err(EINVAL);
        }
        let mut map = KVVec::with_capacity(grants.len(), GFP_KERNEL | __GFP_NOWARN)?;
        let mut push = |grant: Result<GrantReference>, address| -> Result {
            let operation = operation::map_operation(grant?, Target::Kernel(address), access);
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
        // The state that undoes the mapping exists before the hypercall: from then on, dropping
        // `mapping` unmaps all grants that were mapped.
        let unmap = UnmapOperations::with_capacity(map.len())?;
        let mapping = Self {
            grants: ManuallyDrop::new(KBox::pin_init(
                MappedGrants::new(frames, access, unmap, end),
                GFP_KERNEL,
            )?),
        };

        // SAFETY: The operations name the addresses of these frames, in their order. The frames are
        // unused, and `mapping` keeps them until the grants are unmapped.
        let result = unsafe { hypercall::map_at_frames(&mut map, &**mapping.grants.frames) };
        let all = mapping.grants.unmap.lock().add(&map)?;
        result?;
        if !all {
            return Err(EINVAL);
        }
        Ok(mapping)
    }

    /// Returns the frames that the grants are mapped at.
    pub(crate) fn frames(&self) -> &MappedFrames {
        &self.grants.frames
    }

    /// Clears the byte at `offset` from the start of the first frame, if it is writable: the grant
    /// there is still mapped, and not read-only. Returns true if it was cleared. May sleep,
    /// allocates nothing.
    pub(crate) fn clear_byte(&self, offset: usize) -> bool {
        self.grants.clear_byte(offset)
    }

    /// Replaces the value that is dropped after the grants have been unmapped and the frames freed.
    pub(crate) fn set_end(&mut self, end: E) {
        *self.grants.as_mut().project().end = end;
    }

    /// Unmaps the grants at the frames of `range` that nothing else refers to. The others stay
    /// mapped until the mapping is dropped. May sleep, allocates nothing.
    pub(crate) fn unmap_unreferenced(&self, range: Range<usize>) {
        self.grants.unmap_unreferenced(range);
    }
}

impl<E: Send + Sync + 'static> Drop for GrantMapping<E> {
    fn drop(&mut self) {
        // SAFETY: `self.grants` is not used after this.
        let grants = unsafe { ManuallyDrop::take(&mut self.grants) };
        deferred::finish(grants);
    }
}

impl<E: Send + Sync> Deferred for MappedGrants<E> {
    fn try_finish(self: Pin<&mut Self>) -> bool {
        self.unmap_unreferenced(0..self.frames.len())
    }

    fn on_defer(&self) {
        // SAFETY: The shim takes any number.
        unsafe { bindings::xen_rust_trace_defer(self.frames.len() as u32) };
    }

    fn link(self: Pin<&mut Self>) -> &mut Link {
        self.project().link
    }
}

impl<E> MappedGrants<E> {
    fn new(frames: Frames, access: Access, unmap: UnmapOperations, end: E) -> impl PinInit<Self> {
        pin_init!(Self {
            frames: ManuallyDrop::new(MappedFrames(frames)),
            access,
            unmap <- new_mutex!(unmap, "MappedGrants::unmap"),
            end,
            link: Link::default(),
        })
    }

    /// See [`GrantMapping::clear_byte`].
    fn clear_byte(&self, offset: usize) -> bool {
        if self.access == Access::ReadOnly {
            return false;
        }
        let unmap = self.unmap.lock();
        let mapped = unmap.is_mapped(offset / PAGE_SIZE);
        let Some(byte) = self.frames.byte(offset).filter(|_| mapped) else {
            return false;
        };
        // SAFETY: A grant is mapped at the frame for writing, and stays so while the lock is held.
        // The other domain may access it at the same time, hence volatile.
        unsafe { byte.write_volatile(0) };
        true
    }

    /// Unmaps the grants in `range` whose frames nothing else refers to. Returns true if no grant
    /// in `range` is left mapped. May sleep, allocates nothing.
    fn unmap_unreferenced(&self, range: Range<usize>) -> bool {
        self.unmap.lock().for_each_free_run(
            range,
            |index| self.frames.is_unreferenced(index),
            // SAFETY: The operations of a run stand for the mappings at the frames of the same
            // indices, and nothing else refers to these frames.
            |run, operations| unsafe {
                hypercall::unmap_from_frames(operations, &**self.frames, run)
            },
        )
    }
}

#[pinned_drop]
impl<E> PinnedDrop for MappedGrants<E> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        // SAFETY: `frames` is not used after this, because `self` is being dropped.
        let MappedFrames(frames) = unsafe { ManuallyDrop::take(this.frames) };
        if this.unmap.lock().any_mapped() {
            // Xen refused to unmap, which was reported. A frame that is reused would be shared with
            // the other domain, so the frames are leaked.
            frames.lose();
        }
    }
}
