// SPDX-License-Identifier: GPL-2.0

//! Devices on the faux bus.
//!
//! SERIES 7.2/7.3: the types of `kernel::faux` differ between the series, the C functions do not.
//!
//! C header: [`include/linux/device/faux.h`](srctree/include/linux/device/faux.h).

use crate::xen::bindings;
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Registered device. Dropping it unregisters the device; may sleep.
///
/// # Invariants
///
/// The pointer is that of a registered device, which this value owns.
pub(crate) struct FauxDevice(NonNull<bindings::faux_device>);

// SAFETY: The device core can be called from any thread.
unsafe impl Send for FauxDevice {}

// SAFETY: A shared reference only gives the device's address.
unsafe impl Sync for FauxDevice {}

impl FauxDevice {
    /// Registers a device without a parent. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV` on any failure.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The function copies the name, and accepts null for the parent and the operations.
        let device = unsafe {
            bindings::faux_device_create(name.as_char_ptr(), ptr::null_mut(), ptr::null())
        };
        // INVARIANT: The device was just registered, and only this function has it.
        NonNull::new(device).map(Self).ok_or(ENODEV)
    }

    /// Lets the device address all memory (C: `dma_coerce_mask_and_coherent()`). Must be called
    /// before any other use of the device.
    ///
    /// # Errors
    ///
    /// `EIO` if DMA to all addresses is not possible.
    pub(crate) fn set_dma_mask(&self) -> Result {
        // SAFETY: By the type invariant, the device is valid.
        to_result(unsafe { bindings::xen_rust_set_dma_mask(self.as_raw()) })
    }

    /// Returns true if the device is coherent with the caches of the CPU (C:
    /// `dev_is_dma_coherent()`). The DMA API ignores attributes of caching for such a device.
    pub(crate) fn is_dma_coherent(&self) -> bool {
        // SAFETY: By the type invariant, the device is valid.
        unsafe { bindings::xen_rust_dma_coherent(self.as_raw()) }
    }

    /// Returns the device. It lives as long as `self`.
    pub(crate) fn as_raw(&self) -> *mut bindings::device {
        // SAFETY: By the type invariant, the device is valid.
        unsafe { &raw mut (*self.0.as_ptr()).dev }
    }
}

impl Drop for FauxDevice {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the device is registered and owned by `self`.
        unsafe { bindings::faux_device_destroy(self.0.as_ptr()) };
    }
}
