// SPDX-License-Identifier: GPL-2.0

//! Arrays of pages.
//!
//! C header: [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h), `struct page`.

use crate::xen::bindings;

/// Array of pages that its owner keeps allocated.
///
/// # Safety
///
/// Each element of [`Self::pages`] must be a valid page, and stay one as long as `self` is
/// borrowed.
pub(crate) unsafe trait PageArray {
    /// Returns the pages.
    fn pages(&self) -> &[*mut bindings::page];
}
