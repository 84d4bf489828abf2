// SPDX-License-Identifier: GPL-2.0

//! Error numbers that the kernel crate does not name.

use crate::xen::bindings;
use kernel::prelude::*;

/// Returns `EOPNOTSUPP`: the operation is not supported.
pub(crate) fn not_supported() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}
