// SPDX-License-Identifier: GPL-2.0

//! The part of the kernel crate's prelude that the files of the event channels use.

/// Error of the kernel; the number is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(i32);

/// Result of the kernel.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

pub const ENOENT: Error = Error(2);
pub const ENOMEM: Error = Error(12);
pub const EEXIST: Error = Error(17);
pub const EINVAL: Error = Error(22);

/// Message of the kernel.
macro_rules! pr_err {
    ($($arguments:tt)*) => { print!($($arguments)*) };
}
pub(crate) use pr_err;
