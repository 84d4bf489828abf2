// SPDX-License-Identifier: GPL-2.0

//! A misc device that holds its module.
//!
//! The kernel crate's own registration leaves the `owner` of the file operations empty, so that a
//! module could be unloaded under an open file or a mapping of one. This one sets it, and adds
//! `poll()`. Otherwise it is the kernel crate's: the callbacks are those of its [`MiscDevice`].
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

/// What `poll()` tells about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// There is nothing to read.
    Nothing,
    /// There is something to read (`EPOLLIN | EPOLLRDNORM`).
    Readable,
    /// It cannot be told (`EPOLLERR`).
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

/// A misc device whose open files can be waited for. The kernel crate's trait has no such callback.
pub(crate) trait PollDevice: MiscDevice {
    /// Registers with `table` what wakes the caller up, and returns what is the case now.
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
    // which is there until the file is released.
    let device = unsafe { T::Ptr::borrow((*file).private_data) };
    // SAFETY: By this function's safety requirements. `poll()` does not use the file position.
    let (file, table) = unsafe { (File::from_raw_file(file), PollTable::from_raw(table)) };
    T::poll(device, file, table).into_raw()
}

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
