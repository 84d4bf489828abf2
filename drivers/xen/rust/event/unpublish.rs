// SPDX-License-Identifier: GPL-2.0

//! The end of published pages, for tests alone: their hypervisor is a fake one, which knows a page
//! only during the call that hands it over.
//!
//! In the kernel there is no such end. Xen has no operation that gives a page back, and writes to
//! the pages as long as the domain lives.

use super::shared_page::{
    PublishedPage,
    SharedPage, //
};
use core::ptr::NonNull;

impl Drop for PublishedPage {
    /// Frees the page.
    fn drop(&mut self) {
        if let Some(words) = NonNull::new(*self.0.get_mut()) {
            // SAFETY: By the type invariants it came from `into_raw()`. All references to it were
            // borrowed from this place, and the crate of the tests hands no page to Xen.
            drop(unsafe { SharedPage::from_raw(words) });
        }
    }
}
