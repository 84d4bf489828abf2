// SPDX-License-Identifier: GPL-2.0

//! C functions that a test can have fail.
//!
//! In a kernel with `CONFIG_FAULT_INJECTION` they are shims, which may return an error instead of
//! calling the function of that name. In other kernels they are the functions themselves.
//!
//! C header: `drivers/xen/rust/call_failure.h`.

#[cfg(not(CONFIG_FAULT_INJECTION))]
pub(crate) use crate::xen::bindings::{
    gnttab_alloc_grant_references,
    gnttab_alloc_pages,
    gnttab_map_refs,
    gnttab_unmap_refs,
    xenmem_reservation_decrease,
    xenmem_reservation_increase, //
};
#[cfg(CONFIG_FAULT_INJECTION)]
pub(crate) use crate::xen::bindings::{
    xen_rust_gnttab_alloc_grant_references as gnttab_alloc_grant_references,
    xen_rust_gnttab_alloc_pages as gnttab_alloc_pages,
    xen_rust_gnttab_map_refs as gnttab_map_refs,
    xen_rust_gnttab_unmap_refs as gnttab_unmap_refs,
    xen_rust_xenmem_reservation_decrease as xenmem_reservation_decrease,
    xen_rust_xenmem_reservation_increase as xenmem_reservation_increase, //
};
