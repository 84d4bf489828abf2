// SPDX-License-Identifier: GPL-2.0

//! A misc device that holds its module.
//!
//! The kernel crate's own registration leaves the `owner` of the file operations empty, so that a
//! module could be unloaded under an open file or a mapping of one. This one sets it, and is
//! otherwise the kernel crate's: the callbacks are those of its [`MiscDevice`].
//!
//! C header: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h).

use kernel::{
    bindings,
    error::to_result,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions, //
    },
    prelude::*,
    types::Opaque, //
};

/// A registered misc device. Dropping it takes the device away.
///
/// # Invariants
///
/// `device` is registered, and its file operations are `operations`.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration {
    #[pin]
    operations: Opaque<bindings::file_operations>,
    #[pin]
    device: Opaque<bindings::miscdevice>,
}

// SAFETY: `misc_deregister()` may be called from any thread.
unsafe impl Send for Registration {}
// SAFETY: There is nothing to do with a `&Registration`.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers a misc device whose open files are `T`s and hold `module`. May sleep.
    ///
    /// # Errors
    ///
    /// Those of `misc_register()`, among them `EEXIST` when there is a device of this name.
    pub(crate) fn new<T: MiscDevice>(
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> impl PinInit<Self, Error> {
        let device = MiscDeviceOptions { name }.into_raw::<T>();
        // INVARIANT: The initializer of `device` registers it with `operations`, or fails.
        try_pin_init!(&this in Self {
            operations <- Opaque::ffi_init(move |slot: *mut bindings::file_operations| {
                // SAFETY: The kernel crate made this pointer from a reference to a constant, and
                // `slot` can be written.
                unsafe {
                    slot.write(device.fops.read());
                    (*slot).owner = module.as_ptr();
                }
            }),
            device <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                // SAFETY: `this` is where the registration is going to be.
                let operations = unsafe { &raw const (*this.as_ptr()).operations };
                // SAFETY: `slot` can be written, and is pinned memory that stays until `drop()`
                // took the device away. The same holds for the operations. `MiscDevice::open` gets
                // a pointer to this `miscdevice`, which is all that its argument consists of.
                to_result(unsafe {
                    slot.write(device);
                    (*slot).fops = Opaque::cast_into(operations);
                    bindings::misc_register(slot)
                })
            }),
        }? Error)
    }
}

#[pinned_drop]
impl PinnedDrop for Registration {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants, the device is registered.
        unsafe { bindings::misc_deregister(self.device.get()) };
    }
}
