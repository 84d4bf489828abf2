// SPDX-License-Identifier: GPL-2.0

//! Devices of gntdev for the DMA API.
//!
//! C header: [`include/linux/dma-map-ops.h`](srctree/include/linux/dma-map-ops.h).

use crate::xen::{
    bindings,
    kernel::faux_device::FauxDevice, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        global_lock,
        Arc, //
    },
};

/// Devices of this module.
pub(crate) struct DmaDevices {
    /// Device that memory is allocated for, with the DMA operations of the machine.
    memory: Arc<FauxDevice>,
    /// Device that imported buffers are attached to. It represents the CPUs of other domains, which
    /// access memory without an IOMMU or a bounce buffer: its DMA addresses are the physical
    /// addresses of this kernel.
    peer: Arc<FauxDevice>,
}

global_lock! {
    // SAFETY: Initialized by `Slot::new()`, and not used before that.
    unsafe(uninit) static DEVICES: Mutex<Option<DmaDevices>> = None;
}

/// True once there has been a [`Slot`].
static CLAIMED: Atomic<bool> = Atomic::new(false);

/// Owner of the devices, which [`DmaDevices::memory`] and [`DmaDevices::peer`] return. The module
/// keeps it from its initialization to its exit.
pub(crate) struct Slot(());

impl Slot {
    /// Registers the devices. May sleep. Must return before the first use of the devices.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the module has already had a slot; `ENODEV` if a device cannot be registered;
    /// `EIO` if DMA to all addresses is not possible.
    pub(crate) fn new() -> Result<Self> {
        CLAIMED.cmpxchg(false, true, Relaxed).map_err(|_| EBUSY)?;
        // SAFETY: `CLAIMED` lets one caller come here.
        unsafe { DEVICES.init() };
        let devices = DmaDevices {
            memory: new_device(c"xen-gntdev-memory")?,
            peer: new_device(c"xen-gntdev-peer")?,
        };
        // SAFETY: The device is valid and not yet in use, and the operations are static.
        unsafe {
            bindings::xen_rust_set_dma_ops(devices.peer.as_raw(), &raw const PEER_OPERATIONS.0)
        };
        *DEVICES.lock() = Some(devices);
        Ok(Self(()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let devices = DEVICES.lock().take();
        // Dropped after the lock is released, because this unregisters the devices.
        drop(devices);
    }
}

impl DmaDevices {
    /// Returns the device that memory is allocated for.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the module is being unloaded.
    pub(crate) fn memory() -> Result<Arc<FauxDevice>> {
        Ok(DEVICES.lock().as_ref().ok_or(ENODEV)?.memory.clone())
    }

    /// Returns the device that imported buffers are attached to.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the module is being unloaded.
    pub(crate) fn peer() -> Result<Arc<FauxDevice>> {
        Ok(DEVICES.lock().as_ref().ok_or(ENODEV)?.peer.clone())
    }
}

/// Registers a device that can address all memory.
fn new_device(name: &CStr) -> Result<Arc<FauxDevice>> {
    let device = FauxDevice::new(name)?;
    device.set_dma_mask()?;
    Ok(Arc::new(device, GFP_KERNEL)?)
}

/// `struct dma_map_ops` that is never written.
struct DmaMapOps(bindings::dma_map_ops);

// SAFETY: The structure consists of function pointers, which are only read.
unsafe impl Sync for DmaMapOps {}

static PEER_OPERATIONS: DmaMapOps = DmaMapOps(bindings::dma_map_ops {
    map_phys: Some(map_physical),
    map_sg: Some(map_scatterlist),
    ..pin_init::zeroed()
});

/// Maps a range of physical memory for the peer device.
extern "C" fn map_physical(
    _device: *mut bindings::device,
    address: bindings::phys_addr_t,
    _size: usize,
    _direction: bindings::dma_data_direction,
    _attributes: c_ulong,
) -> bindings::dma_addr_t {
    address
}

/// Maps a scatter list for the peer device, entry by entry.
///
/// # Safety
///
/// `list` must be a valid scatter list of `count` entries with pages, which nothing else uses.
unsafe extern "C" fn map_scatterlist(
    _device: *mut bindings::device,
    list: *mut bindings::scatterlist,
    count: c_int,
    _direction: bindings::dma_data_direction,
    _attributes: c_ulong,
) -> c_int {
    let mut entry = list;
    for _ in 0..count {
        // SAFETY: By this function's safety requirements.
        entry = unsafe { bindings::xen_rust_sg_map_physical(entry) };
    }
    count
}
