// SPDX-License-Identifier: GPL-2.0

//! Misc devices that hold a reference to their module.
//!
//! SERIES 7.2/7.3: the kernel crate's registration of 7.2 leaves the `owner` of the file operations
//! empty, so that a module could be unloaded under an open file or a mapping of one; that of 7.3
//! sets it. This registration sets it on both.
//!
//! It also adds `poll()`, which the kernel crate lacks. Apart from that it is the kernel crate's:
//! the callbacks are those of its [`MiscDevice`].
//!
//! C header: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h).

use crate::xen::bindings;
use kernel::{
    error::to_result,
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions, //
    },
    prelude::*,
    sync::poll::PollTable,
    types::{
        ForeignOwnable,
        Opaque, //
    },
};

/// Result of `poll()` for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Nothing can be read.
    Nothing,
    /// Data can be read (`EPOLLIN | EPOLLRDNORM`).
    Readable,
    /// The state is unknown because of an error (`EPOLLERR`).
    Failed,
}

impl Readiness {
    const fn into_raw(self) -> bindings::__poll_t {
        match self {
            Self::Nothing => 0,
            Self::Readable => bindings::EPOLLIN | bindings::EPOLLRDNORM,
            Self::Failed => bindings::EPOLLERR,
        }
    }
}

/// Misc device whose open files support `poll()`. The kernel crate's trait has no such callback.
pub(crate) trait PollDevice: MiscDevice {
    /// Registers the wait queues that wake up the caller with `table`, and returns the current
    /// state.
    fn poll(
        device: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        file: &File,
        table: PollTable<'_>,
    ) -> Readiness;
}

/// # Safety
///
/// `file` must be an open file of a misc device that was registered for `T`, and `table` be null or
/// valid.
unsafe extern "C" fn poll<T: PollDevice>(
    file: *mut bindings::file,
    table: *mut bindings::poll_table_struct,
) -> bindings::__poll_t {
    // SAFETY: By this function's safety requirements, `MiscDevice::open()` set the private data,
    // which stays valid until the file is released.
    let device = unsafe { T::Ptr::borrow((*file).private_data) };
    // SAFETY: By this function's safety requirements. `poll()` does not use the file position.
    let (file, table) = unsafe { (File::from_raw_file(file), PollTable::from_raw(table)) };
    T::poll(device, file, table).into_raw()
}

/// Registered misc device. Dropping it removes the device.
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
// SAFETY: A `&Registration` gives access to nothing.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers a misc device whose open files are `T`s and hold references to `module`. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// Those of `misc_register()`, among them `EEXIST` if a device of this name exists.
    pub(crate) fn new<T: PollDevice>(
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
                    (*slot).poll = Some(poll::<T>);
                }
            }),
            device <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                // SAFETY: `this` points to the memory of the registration that is being
                // initialized.
                let operations = unsafe { &raw const (*this.as_ptr()).operations };
                // SAFETY: `slot` can be written, and is pinned memory that stays valid until
                // `drop()` has removed the device. The same holds for the operations.
                // `MiscDevice::open` gets a pointer to this `miscdevice`, which is all that its
                // argument consists of.
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
