// SPDX-License-Identifier: GPL-2.0

//! The module that this code is in.
//!
//! SERIES 7.2/7.3: a crate finds its own `THIS_MODULE` in different places, C code does not.

use crate::xen::bindings;

/// The C module (C: `THIS_MODULE`), null if the code is in the kernel itself.
pub(crate) fn this_module() -> *mut bindings::module {
    // SAFETY: It has no requirements.
    unsafe { bindings::xen_rust_this_module() }
}
