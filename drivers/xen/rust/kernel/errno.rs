// SPDX-License-Identifier: GPL-2.0

//! Error numbers that the kernel crate has no name for.

use crate::xen::bindings;
use kernel::prelude::*;

/// `EOPNOTSUPP`: the operation cannot be done here.
pub(crate) fn not_supported() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}
