// SPDX-License-Identifier: GPL-2.0

//! Maximum number of grants in a region or pages in a dma-buf.

#![forbid(unsafe_code)]

use kernel::prelude::*;

/// Default of the parameter `limit`.
pub(crate) const DEFAULT_LIMIT: u32 = 64 * 1024;

/// Checks the number of grants of a new region, or of pages of a dma-buf.
///
/// # Errors
///
/// `EINVAL` if `count` is 0 or above `limit`.
pub(crate) fn check_count(count: u32, limit: u32) -> Result<usize> {
    if count == 0 || count > limit {
        return Err(EINVAL);
    }
    Ok(count as usize)
}
