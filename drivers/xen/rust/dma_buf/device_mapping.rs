// SPDX-License-Identifier: GPL-2.0

//! Frames that a device can reach.
//!
//! C headers: [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h),
//! [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h).

use crate::xen::{
    bindings,
    grant::{
        domain,
        frames::Frames, //
    },
    kernel::{
        dma_direction::Direction,
        page_array::PageArray, //
    },
};
use core::ptr;
use kernel::{
    device::Device,
    error::to_result,
    page::PAGE_SIZE,
    prelude::*,
    sync::aref::ARef,
    types::Opaque, //
};

/// A scatter list of frames, mapped for a device. Dropping it unmaps and frees it; may sleep. What
/// the device wrote gets to the CPU by [`Self::sync_for_cpu`], not by that.
///
/// # Invariants
///
/// `list` is allocated, and mapped for the device in the direction.
pub(super) struct DeviceMapping {
    list: ScatterList,
    device: ARef<Device>,
    direction: Direction,
}

// SAFETY: The DMA API may be called from any thread.
unsafe impl Send for DeviceMapping {}
// SAFETY: The methods that take `&self` give the list to functions that only read it.
unsafe impl Sync for DeviceMapping {}

impl DeviceMapping {
    /// Maps `frames` from the byte at `offset` on, for `device`. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `offset` is not within the first frame; `ENOMEM`; those of `dma_map_sgtable()`.
    ///
    /// # Safety
    ///
    /// The frames must stay, with grants mapped at them, until the value is dropped.
    pub(super) unsafe fn new(
        frames: &Frames,
        offset: usize,
        device: ARef<Device>,
        direction: Direction,
    ) -> Result<Self> {
        let list = ScatterList::new(frames, offset, &device)?;
        // With the cache maintenance of any memory: the granting domain's CPUs have cached mappings
        // of it, whatever this kernel's are, and there may be a bounce buffer to fill.
        // SAFETY: The device is valid, and `list` is a scatter list of pages that stay, by this
        // function's safety requirements.
        to_result(unsafe {
            bindings::dma_map_sgtable(as_raw(&device), list.as_raw(), direction.into_raw(), 0)
        })?;
        // INVARIANT: We just mapped it.
        Ok(Self {
            list,
            device,
            direction,
        })
    }

    /// The scatter list, as an importer gets it. It lives as long as `self`.
    pub(super) fn as_raw(&self) -> *mut bindings::sg_table {
        self.list.as_raw()
    }

    /// The direction that the frames are mapped in.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// Makes what the device wrote visible to the CPU, as far as `access`, which is what the CPU is
    /// about to do, needs it (C: `dma_sync_sgtable_for_cpu()`).
    pub(super) fn sync_for_cpu(&self, access: Direction) {
        let Some(direction) = self.direction.before_cpu(access) else {
            return;
        };
        // SAFETY: By the type invariants, the list is mapped so.
        unsafe {
            bindings::xen_rust_sync_for_cpu(
                as_raw(&self.device),
                self.list.as_raw(),
                direction.into_raw(),
            )
        };
    }

    /// Makes what a CPU wrote visible to the device, as far as `access`, which is what the CPU has
    /// done, needs it (C: `dma_sync_sgtable_for_device()`).
    pub(super) fn sync_for_device(&self, access: Direction) {
        let Some(direction) = self.direction.after_cpu(access) else {
            return;
        };
        // SAFETY: By the type invariants, the list is mapped so.
        unsafe {
            bindings::xen_rust_sync_for_device(
                as_raw(&self.device),
                self.list.as_raw(),
                direction.into_raw(),
            )
        };
    }
}

impl Drop for DeviceMapping {
    fn drop(&mut self) {
        let list = self.list.as_raw();
        // What the CPU was to get of the device it has had since `sync_for_cpu()`, and it may have
        // written since.
        // SAFETY: By the type invariants, the list is allocated, and mapped so.
        unsafe {
            bindings::dma_unmap_sg_attrs(
                as_raw(&self.device),
                (*list).sgl,
                (*list).orig_nents as c_int,
                self.direction.into_raw(),
                bindings::DMA_ATTR_SKIP_CPU_SYNC as c_ulong,
            )
        };
    }
}

/// A scatter list.
///
/// # Invariants
///
/// The table is initialized, by an allocation.
struct ScatterList(KBox<Opaque<bindings::sg_table>>);

impl ScatterList {
    /// The frames from the byte at `offset` of the first on, in as few entries as `device` can use.
    fn new(frames: &Frames, offset: usize, device: &Device) -> Result<Self> {
        let pages = frames.pages();
        // The list has an entry for every frame, as importers conclude from the buffer's size.
        if pages.is_empty() || offset >= PAGE_SIZE {
            return Err(EINVAL);
        }
        let size = pages.len() * PAGE_SIZE - offset;
        let longest = if domain::is_paravirtual() {
            // Frames that follow each other here do not do so in the machine, and such an entry
            // would go through a bounce buffer.
            PAGE_SIZE
        } else {
            // SAFETY: The device is valid.
            let longest = unsafe { bindings::dma_max_mapping_size(as_raw(device)) };
            longest.clamp(PAGE_SIZE, u32::MAX as usize)
        };
        let table = KBox::new(Opaque::new(bindings::sg_table::default()), GFP_KERNEL)?;
        // SAFETY: `pages` is an array of this length, to which the C function does not write. A
        // count of pages came in as 32 bits.
        to_result(unsafe {
            bindings::sg_alloc_table_from_pages_segment(
                table.get(),
                pages.as_ptr().cast_mut(),
                pages.len() as c_uint,
                offset as c_uint,
                size as c_ulong,
                longest as c_uint,
                bindings::GFP_KERNEL,
            )
        })?;
        // INVARIANT: The function initialized the table.
        Ok(Self(table))
    }

    fn as_raw(&self) -> *mut bindings::sg_table {
        self.0.get()
    }
}

impl Drop for ScatterList {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the table is allocated.
        unsafe { bindings::sg_free_table(self.0.get()) };
    }
}

/// The C device that `device` is.
fn as_raw(device: &Device) -> *mut bindings::device {
    // A `Device` is a transparent wrapper over what C may change at any time.
    ptr::from_ref(device).cast_mut().cast()
}
