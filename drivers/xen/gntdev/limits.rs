// SPDX-License-Identifier: GPL-2.0

//! How many grants a region can have.

#![forbid(unsafe_code)]

use kernel::prelude::*;

/// The number of grants that one region can have unless the administrator says otherwise.
pub(crate) const DEFAULT_LIMIT: u32 = 64 * 1024;

/// Checks the number of grants that a program asks for in one region.
///
/// # Errors
///
/// `EINVAL` for none, and for more than `limit`.
pub(crate) fn check_count(count: u32, limit: u32) -> Result<usize> {
    if count == 0 || count > limit {
        return Err(EINVAL);
    }
    Ok(count as usize)
}
