// SPDX-License-Identifier: GPL-2.0

//! Kind of the Xen domain that this kernel runs in.
//!
//! C header: `include/xen/xen.h`.

use crate::xen::bindings;

/// Returns true if this kernel runs as a Xen domain at all (C: `xen_domain()`).
///
/// The answer is fixed at boot. May be called from any context.
pub(crate) fn is_xen_domain() -> bool {
    // SAFETY: The shim reads a variable that is constant after boot.
    unsafe { bindings::xen_rust_domain() }
}

/// Returns true if this kernel runs as a paravirtual domain (C: `xen_pv_domain()`).
///
/// A paravirtual domain has page tables of machine frames; in every other kind of domain (PVH, HVM,
/// Arm) the hardware translates them. The answer is fixed at boot. May be called from any context.
pub(crate) fn is_paravirtual() -> bool {
    // SAFETY: The shim reads a variable that is constant after boot.
    unsafe { bindings::xen_rust_pv_domain() }
}
