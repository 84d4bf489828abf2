// SPDX-License-Identifier: GPL-2.0

//! A device on the faux bus.
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

/// A registered device. Dropping it ends the registration; may sleep.
///
/// # Invariants
///
/// The pointer is that of a registered device, which is ours to destroy.
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
    /// `ENODEV` if that fails, for whatever reason.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The name is copied. There need be neither a parent nor operations.
        let device = unsafe {
            bindings::faux_device_create(name.as_char_ptr(), ptr::null_mut(), ptr::null())
        };
        // INVARIANT: It was just registered, for us.
        NonNull::new(device).map(Self).ok_or(ENODEV)
    }

    /// Lets the device address all memory (C: `dma_coerce_mask_and_coherent()`). To be called
    /// before anything else uses the device.
    ///
    /// # Errors
    ///
    /// `EIO` if there is no DMA to all addresses.
    pub(crate) fn set_dma_mask(&self) -> Result {
        // SAFETY: By the type invariant, the device is valid.
        to_result(unsafe { bindings::xen_rust_set_dma_mask(self.as_raw()) })
    }

    /// The device itself. It lives as long as `self`.
    pub(crate) fn as_raw(&self) -> *mut bindings::device {
        // SAFETY: By the type invariant, the device is valid.
        unsafe { &raw mut (*self.0.as_ptr()).dev }
    }
}

impl Drop for FauxDevice {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, it is registered and ours.
        unsafe { bindings::faux_device_destroy(self.0.as_ptr()) };
    }
}
