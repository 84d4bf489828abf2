// SPDX-License-Identifier: GPL-2.0

//! Kind of the Xen domain that this kernel runs in.
//!
//! C header: `include/xen/xen.h`.

use crate::xen::{
    bindings,
    kernel::errno::not_supported,
    totals::Total, //
};
use kernel::prelude::*;

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

/// Domains whose grants may be mapped at frames of this domain.
///
/// These are all domains, except for this domain itself if it is auto-translated on x86. Xen then
/// keeps one guest physical address for each machine frame, so that mapping an own grant takes the
/// page away from the address at which the kernel uses it: its owner loses the contents, and after
/// the unmap no page is at either address. On Arm and in a paravirtual domain a frame may be mapped
/// any number of times.
pub(crate) struct Granters {
    /// Id of this domain, or `DOMID_SELF` if it is not known; `DOMID_INVALID` if its grants may be
    /// mapped.
    own: u16,
}

impl Granters {
    /// Granters as of now: restoring a saved domain gives it another id. May be called from any
    /// context.
    pub(crate) fn now() -> Self {
        // SAFETY: The shim reads CPUID.
        let own = unsafe { bindings::xen_rust_unmappable_domid() };
        Self { own }
    }

    /// Checks that grants of `domain` may be mapped. A refusal is reported in the kernel's log, at
    /// a limited rate. Grants of `DOMID_SELF`, which Xen does not map in any domain, are refused
    /// together with those of this domain's id. May be called from any context.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`.
    pub(crate) fn check(&self, domain: u16) -> Result {
        const INVALID: u16 = bindings::DOMID_INVALID as u16;
        const SELF: u16 = bindings::DOMID_SELF as u16;
        if self.own == INVALID || (domain != self.own && domain != SELF) {
            return Ok(());
        }
        // SAFETY: The shim takes any number.
        unsafe { bindings::xen_rust_report_own_grant(domain) };
        Total::RefusedOwnGrants.add(1);
        Err(not_supported())
    }
}
