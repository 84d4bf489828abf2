// SPDX-License-Identifier: GPL-2.0

//! The part of the kernel crate's prelude that the files of gntdev use.

pub(crate) use core::ffi::c_void;
pub(crate) use pinned_init::{pin_data, pin_init, PinInit};

/// Error of the kernel; the number is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Error(i32);

/// Result of the kernel.
pub(crate) type Result<T = (), E = Error> = core::result::Result<T, E>;

pub(crate) const ENOMEM: Error = Error(12);
pub(crate) const EFAULT: Error = Error(14);
pub(crate) const EBUSY: Error = Error(16);
pub(crate) const EINVAL: Error = Error(22);
pub(crate) const ENOSPC: Error = Error(28);

/// Flags of an allocation.
#[derive(Clone, Copy)]
pub(crate) struct Flags;

pub(crate) const GFP_KERNEL: Flags = Flags;

/// Box of the kernel.
pub(crate) struct KBox<T>(Box<T>);

impl<T> KBox<T> {
    pub(crate) fn new(value: T, _flags: Flags) -> Result<Self> {
        Ok(Self(Box::new(value)))
    }
}

impl<T> core::ops::Deref for KBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> core::ops::DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
