// SPDX-License-Identifier: GPL-2.0

//! Guest frame numbers.
//!
//! C header: [`include/xen/page.h`](srctree/include/xen/page.h).

use crate::xen::{
    bindings,
    kernel::page_array::PageArray, //
};

/// Size of a page in the interface of the hypervisor, in bytes (C: `XEN_PAGE_SIZE`). The page size
/// of the kernel can be larger.
pub(crate) const XEN_PAGE_SIZE: usize = 4096;

/// Returns the gfn of the first frame of the page at `index`, or `None` past the end (C:
/// `xen_page_to_gfn()`).
///
/// May be called from any context.
pub(crate) fn of_page(pages: &impl PageArray, index: usize) -> Option<u64> {
    let page = *pages.pages().get(index)?;
    // SAFETY: The elements of a `PageArray` are valid pages.
    Some(unsafe { bindings::xen_rust_page_gfn(page) })
}
