// SPDX-License-Identifier: GPL-2.0

//! Frames that are mapped for a device.
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

/// Scatter list of frames, mapped for a device. Dropping it synchronizes data of the device for the
/// CPU, unmaps the list and frees it; may sleep.
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
    /// The frames must stay allocated, with grants mapped at them, until the value is dropped.
    pub(super) unsafe fn new(
        frames: &Frames,
        offset: usize,
        device: ARef<Device>,
        direction: Direction,
    ) -> Result<Self> {
        let list = ScatterList::new(frames, offset, &device)?;
        // Caches are maintained for any memory: the CPUs of the granting domain have cached
        // mappings of it, with any caching in this kernel, and a bounce buffer may have to be
        // filled.
        // SAFETY: The device is valid, and `list` is a scatter list of pages that stay allocated,
        // by this function's safety requirements.
        to_result(unsafe {
            bindings::dma_map_sgtable(as_raw(&device), list.as_raw(), direction.into_raw(), 0)
        })?;
        // INVARIANT: The list was just mapped.
        Ok(Self {
            list,
            device,
            direction,
        })
    }

    /// Returns the scatter list, in the form for an importer. It lives as long as `self`, and stays
    /// at its address when `self` is moved.
    pub(super) fn as_raw(&self) -> *mut bindings::sg_table {
        self.list.as_raw()
    }

    /// Makes data of the device visible to the CPU, as far as the CPU needs it for the following
    /// `access` (C: `dma_sync_sgtable_for_cpu()`).
    pub(super) fn sync_for_cpu(&self, access: Direction) {
        let Some(direction) = self.direction.before_cpu(access) else {
            return;
        };
        // SAFETY: By the type invariants, the list is mapped in the direction.
        unsafe {
            bindings::xen_rust_sync_for_cpu(
                as_raw(&self.device),
                self.list.as_raw(),
                direction.into_raw(),
            )
        };
    }

    /// Makes data of the CPU visible to the device, as far as needed after the preceding `access`
    /// of the CPU (C: `dma_sync_sgtable_for_device()`).
    pub(super) fn sync_for_device(&self, access: Direction) {
        let Some(direction) = self.direction.after_cpu(access) else {
            return;
        };
        // SAFETY: By the type invariants, the list is mapped in the direction.
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
        // SAFETY: By the type invariants, the list is allocated, and mapped in the direction.
        unsafe {
            bindings::dma_unmap_sg_attrs(
                as_raw(&self.device),
                (*list).sgl,
                (*list).orig_nents as c_int,
                self.direction.into_raw(),
                0,
            )
        };
    }
}

/// Scatter list.
///
/// # Invariants
///
/// The table was initialized by an allocation.
struct ScatterList(KBox<Opaque<bindings::sg_table>>);

impl ScatterList {
    /// Makes a list of the frames, from the byte at `offset` of the first on, with as few entries
    /// as `device` can use.
    fn new(frames: &Frames, offset: usize, device: &Device) -> Result<Self> {
        let pages = frames.pages();
        // Importers rely on an entry for every frame of the buffer's size.
        if pages.is_empty() || offset >= PAGE_SIZE {
            return Err(EINVAL);
        }
        let size = pages.len() * PAGE_SIZE - offset;
        let longest = if domain::is_paravirtual() {
            // Frames that are adjacent in the pseudo-physical address space are not adjacent in
            // machine addresses, and such an entry would go through a bounce buffer.
            PAGE_SIZE
        } else {
            // SAFETY: The device is valid.
            let longest = unsafe { bindings::dma_max_mapping_size(as_raw(device)) };
            longest.clamp(PAGE_SIZE, u32::MAX as usize)
        };
        let table = KBox::new(Opaque::new(bindings::sg_table::default()), GFP_KERNEL)?;
        // SAFETY: `pages` is an array of this length, to which the C function does not write. The
        // number of pages fits, because it was a 32-bit argument of the ioctl.
        to_result(unsafe {
            bindings::sg_alloc_table_from_pages_segment(
                table.get(),
                pages.as_ptr().cast_mut(),
                pages.len() as c_uint,
                offset as c_uint,
                size as c_ulong,
                longest as c_uint,
                bindings::GFP_KERNEL_ACCOUNT,
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

/// Returns the C device of `device`.
fn as_raw(device: &Device) -> *mut bindings::device {
    // A `Device` is a transparent wrapper of a C structure, which C code may change at any time.
    ptr::from_ref(device).cast_mut().cast()
}
