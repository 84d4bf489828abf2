// SPDX-License-Identifier: GPL-2.0

//! The module that this code is in.

use super::bindings;

/// The C module (C: `THIS_MODULE`), null if the code is in the kernel itself.
pub(super) fn this_module() -> *mut bindings::module {
    // SAFETY: It has no requirements.
    unsafe { bindings::xen_rust_this_module() }
}
