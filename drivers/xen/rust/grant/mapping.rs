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
    domain::{
        self,
        Granters, //
    },
    frames::Frames,
    hypercall,
    map::MapOperations,
    operation::{
        self,
        Access,
        GrantReference,
        Target, //
    },
    unmap::UnmapOperations, //
};
use crate::xen::{
    bindings,
    kernel::page_array::PageArray,
    totals::{
        Held,
        Total, //
    },
};
use core::{
    mem::ManuallyDrop,
    ops::{
        Deref,
        Range, //
    },
};
use kernel::{
    mm::virt::VmaNew,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
};

/// Grants of other domains, mapped at the kernel addresses of frames of this domain.
///
/// Dropping it unmaps the grants and then frees the frames. Grants whose frames are still
/// referenced, and all frames, are left to [`deferred`], so that dropping never waits for others.
/// Drop may sleep, and must not be called inside of an MMU notifier.
///
/// The value of type `E` is dropped after the grants have been unmapped and the frames freed, also
/// if none was ever mapped; its owner learns of the end by that. Its drop may sleep.
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

/// Progress of [`GrantMapping::map`].
#[derive(PartialEq, Eq)]
enum State {
    /// No grants are mapped, or only some that a failed attempt has left.
    Unmapped,
    /// A thread is mapping grants.
    Mapping,
    /// All grants have been mapped.
    Mapped,
}

/// Mappings of grants.
struct Mapped {
    state: State,
    /// Access rights of the mappings.
    access: Access,
    /// Unmap operations, one for each frame once the grants have been mapped.
    unmap: UnmapOperations,
}

/// State of a [`GrantMapping`], which can outlive it on the list of [`deferred`].
#[pin_data(PinnedDrop)]
struct MappedGrants<E> {
    _frame_count: Held,
    frames: ManuallyDrop<MappedFrames>,
    /// Taken inside of the mmap lock and of MMU notifiers, so that nothing may be allocated while
    /// it is held.
    #[pin]
    mapped: Mutex<Mapped>,
    /// True if the worker gives the frames back.
    hand_over: Atomic<bool>,
    /// Dropped last, after `drop()` has freed the frames.
    end: E,
    link: Link,
}

impl<E: Send + Sync + 'static> GrantMapping<E> {
    /// Makes a mapping at `frames` without grants, with the memory that it takes to unmap grants.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn empty(frames: Frames, end: E) -> Result<Self> {
        let unmap = UnmapOperations::with_capacity(frames.len())?;
        Ok(Self {
            grants: ManuallyDrop::new(KBox::pin_init(
                MappedGrants::new(frames, unmap, end),
                GFP_KERNEL,
            )?),
        })
    }

    /// Maps `grants` at `frames`, with one hypercall. May sleep, for long if pages of the granting
    /// domain are paged out.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if there are not as many grants as frames, or if Xen refused one of the
    /// grants; `ENOSPC` if it has no room for more mappings; those of [`Granters::check`]. None is
    /// left mapped then.
    pub(crate) fn at(
        frames: Frames,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        end: E,
    ) -> Result<Self> {
        let mut operations = MapOperations::with_capacity(grants.len())?;
        let mapping = Self::empty(frames, end)?;
        mapping.map(grants, access, &mut operations)?;
        Ok(mapping)
    }

    /// Maps `grants` at the frames, with one hypercall (C: `gnttab_map_refs()`). `operations` is
    /// an array for that. May sleep, for long if pages of the granting domain are paged out.
    /// Allocates nothing.
    ///
    /// # Errors
    ///
    /// `EBUSY` if grants have been mapped already; `EAGAIN` if a frame is in use since an attempt
    /// that was undone; those of [`Granters::check`]; `EINVAL` if there are not as many grants as
    /// frames, or if Xen refused one of the grants; `ENOSPC` if it has no room for more mappings;
    /// `ENOMEM` for the table of machine frames. None of the grants is left mapped then, except by
    /// an earlier call, and this can be called again.
    pub(crate) fn map(
        &self,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        operations: &mut MapOperations,
    ) -> Result {
        let frames = &self.grants.frames;
        if frames.len() != grants.len() {
            return Err(EINVAL);
        }
        self.grants.claim(access)?;
        self.grants
            .map(grants, access, operations)
            .inspect_err(|_| self.undo())
    }

    /// Undoes [`Self::map`], which can then be called again. A grant whose frame something else
    /// refers to stays mapped until then, or until the mapping is dropped. May sleep, allocates
    /// nothing.
    pub(crate) fn undo(&self) {
        self.grants.unmap_unreferenced(0..self.frames().len());
        self.grants.mapped.lock().state = State::Unmapped;
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

    /// Makes the drop of the mapping unmap the grants only, and leave the frames and the value of
    /// type `E` to the worker. For a caller that holds the mmap lock, inside of which frames must
    /// not be given back.
    pub(crate) fn leave_frames_to_worker(&self) {
        self.grants.hand_over.store(true, Relaxed);
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
        if grants.hand_over.load(Relaxed) {
            deferred::hand_over(grants);
        } else {
            deferred::finish(grants);
        }
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
    fn new(frames: Frames, unmap: UnmapOperations, end: E) -> impl PinInit<Self> {
        let mapped = Mapped {
            state: State::Unmapped,
            access: Access::ReadOnly,
            unmap,
        };
        pin_init!(Self {
            _frame_count: Total::Frames.hold(frames.len()),
            frames: ManuallyDrop::new(MappedFrames(frames)),
            mapped <- new_mutex!(mapped, "MappedGrants::mapped"),
            hand_over: Atomic::new(false),
            end,
            link: Link::default(),
        })
    }

    /// Lets the caller alone map grants with this `access`.
    ///
    /// # Errors
    ///
    /// `EBUSY` if grants have been mapped, or another thread maps some; `EAGAIN` if a frame is in
    /// use since an attempt that was undone.
    fn claim(&self, access: Access) -> Result {
        let mut mapped = self.mapped.lock();
        if mapped.state != State::Unmapped {
            return Err(EBUSY);
        }
        self.unmap_free_runs(&mut mapped.unmap, 0..self.frames.len());
        mapped.unmap.clear()?;
        mapped.access = access;
        mapped.state = State::Mapping;
        Ok(())
    }

    /// Maps `grants` for the caller of [`Self::claim`]. See [`GrantMapping::map`].
    fn map(
        &self,
        grants: impl Iterator<Item = Result<GrantReference>>,
        access: Access,
        operations: &mut MapOperations,
    ) -> Result {
        let frames = &self.frames;
        let granters = Granters::now();
        let grants = grants.map(|grant| -> Result<GrantReference> {
            let grant = grant?;
            granters.check(grant.domain)?;
            Ok(grant)
        });
        let map = if domain::is_paravirtual() {
            let targets = frames.linear_addresses().map(Target::Kernel);
            operations.set(grants, targets, access)?
        } else {
            let targets = frames.physical_addresses().map(Target::Kernel);
            operations.set(grants, targets, access)?
        };

        // SAFETY: The operations name the addresses of these frames, in their order. The frames are
        // unused: `claim()` found no grant mapped at them, and lets no other thread map one.
        // `self.frames` keeps them until the grants are unmapped.
        let result = unsafe { hypercall::map_at_frames(map, &***frames) };
        let mut mapped = self.mapped.lock();
        let all = mapped.unmap.add(map)?;
        result?;
        if !all {
            return Err(operation::refusal(map));
        }
        mapped.state = State::Mapped;
        Ok(())
    }

    /// See [`GrantMapping::clear_byte`].
    fn clear_byte(&self, offset: usize) -> bool {
        let mapped = self.mapped.lock();
        if mapped.access == Access::ReadOnly || !mapped.unmap.is_mapped(offset / PAGE_SIZE) {
            return false;
        }
        let Some(byte) = self.frames.byte(offset) else {
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
        self.unmap_free_runs(&mut self.mapped.lock().unmap, range)
    }

    /// See [`Self::unmap_unreferenced`]; `unmap` are the operations of `self`.
    fn unmap_free_runs(&self, unmap: &mut UnmapOperations, range: Range<usize>) -> bool {
        unmap.for_each_free_run(
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
        let left = this.mapped.lock().unmap.mapped_count();
        if left != 0 {
            // Xen refused to unmap, which was reported. A frame that is reused would be shared with
            // the other domain, so the frames are leaked.
            Total::LostHandles.add(left);
            frames.lose();
        }
    }
}
