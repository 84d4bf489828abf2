// SPDX-License-Identifier: GPL-2.0

//! The module that this code is part of.
//!
//! SERIES 7.2/7.3: the place of `THIS_MODULE` in a crate differs, that in C code does not.

use crate::xen::bindings;

/// Returns the C module (C: `THIS_MODULE`), or null in built-in code.
pub(crate) fn this_module() -> *mut bindings::module {
    // SAFETY: The function has no requirements.
    unsafe { bindings::xen_rust_this_module() }
}
