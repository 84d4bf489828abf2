// SPDX-License-Identifier: GPL-2.0

//! Map and unmap operations of the grant table hypercall, as plain values.
//!
//! These functions fill the structures of `include/xen/interface/grant_table.h` and evaluate their
//! statuses. They access neither memory nor the hypervisor.

use crate::xen::bindings;
use kernel::prelude::*;

/// Status of a map operation that the hypervisor has not completed.
///
/// Xen writes 0 or a negative status, so that an operation which it never looked at is not taken
/// for one that succeeded.
const STATUS_UNANSWERED: i16 = 1;

/// Page that another domain granted: the C pair of `domid_t` and `grant_ref_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GrantReference {
    /// Domain that granted the page.
    pub(crate) domain: u16,
    /// Index of the grant in the grant table of that domain.
    pub(crate) reference: u32,
}

impl GrantReference {
    /// Converts the pair of the UAPI, where the domain has 32 bits.
    ///
    /// # Errors
    ///
    /// `EINVAL` if no domain can have this number: a `domid_t` has 16 bits. (The C driver truncates
    /// it and so maps the page of another domain than the one that was named.)
    pub(crate) fn from_user(domain: u32, reference: u32) -> Result<Self> {
        Ok(Self {
            domain: u16::try_from(domain).map_err(|_| EINVAL)?,
            reference,
        })
    }
}

/// Access rights of a mapping of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading (`GNTMAP_readonly`).
    ReadOnly,
    /// Reading and writing; Xen refuses it if the page was granted read-only.
    ReadWrite,
}

impl Access {
    const fn flags(self) -> u32 {
        match self {
            Access::ReadOnly => bindings::GNTMAP_host_map | bindings::GNTMAP_readonly,
            Access::ReadWrite => bindings::GNTMAP_host_map,
        }
    }
}

/// Address that a grant is mapped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Address that the kernel uses: a linear address in a paravirtual domain, a guest physical
    /// address in all others.
    Kernel(u64),
    /// Page-table entry of a process, named by the machine address of the entry. Paravirtual
    /// domains only.
    UserPageTableEntry(u64),
}

impl Target {
    const fn address(self) -> u64 {
        match self {
            Target::Kernel(address) | Target::UserPageTableEntry(address) => address,
        }
    }

    /// Returns the flags of a map or unmap operation at this target.
    ///
    /// The first guest-available bit becomes the "special" bit of the page-table entry, which tells
    /// the memory management that no `struct page` can be derived from the frame number. The third
    /// one becomes the soft-dirty bit, and the hypervisor sets the accessed and the dirty bit. So
    /// the kernel has no bit to set if a write fault finds the entry present, which another thread
    /// has just had mapped.
    const fn flags(self) -> u32 {
        match self {
            Target::Kernel(_) => 0,
            Target::UserPageTableEntry(_) => {
                bindings::GNTMAP_application_map
                    | bindings::GNTMAP_contains_pte
                    | (0b101 << bindings::_GNTMAP_guest_avail0)
            }
        }
    }
}

/// Builds the operation that maps `grant` at `target` (C: `gnttab_set_map_op()`).
pub(crate) fn map_operation(
    grant: GrantReference,
    target: Target,
    access: Access,
) -> bindings::gnttab_map_grant_ref {
    bindings::gnttab_map_grant_ref {
        host_addr: target.address(),
        flags: access.flags() | target.flags(),
        ref_: grant.reference,
        dom: grant.domain,
        status: STATUS_UNANSWERED,
        handle: bindings::INVALID_GRANT_HANDLE,
        dev_bus_addr: 0,
    }
}

/// Builds the operation that undoes `map`, which the hypervisor has completed (C:
/// `gnttab_set_unmap_op()`).
///
/// If the mapping failed, the operation has the invalid handle: see [`is_mapped`].
pub(crate) fn unmap_operation(
    map: &bindings::gnttab_map_grant_ref,
) -> bindings::gnttab_unmap_grant_ref {
    bindings::gnttab_unmap_grant_ref {
        host_addr: map.host_addr,
        dev_bus_addr: 0,
        handle: if succeeded(map) {
            map.handle
        } else {
            bindings::INVALID_GRANT_HANDLE
        },
        status: STATUS_UNANSWERED,
    }
}

/// Returns true if the hypervisor did what `map` asked for.
pub(crate) fn succeeded(map: &bindings::gnttab_map_grant_ref) -> bool {
    i32::from(map.status) == bindings::GNTST_okay as i32
}

/// Returns the error for the first of `operations` that the hypervisor did not map.
///
/// `ENOSPC` if its table of this domain's mappings is full (Xen's `gnttab_max_maptrack_frames`), so
/// that mapping works again after others have been unmapped; `EINVAL` for each other reason, also
/// if it mapped all.
pub(crate) fn refusal(operations: &[bindings::gnttab_map_grant_ref]) -> Error {
    let refused = operations.iter().find(|operation| !succeeded(operation));
    match refused {
        Some(operation) if is_full(operation) => ENOSPC,
        _ => EINVAL,
    }
}

/// Returns the error for `error` of the C function that maps grants at frames.
///
/// `ENOMEM` if there was no memory for the table of machine frames of a paravirtual domain;
/// `EINVAL` if the hypercall failed as a whole.
pub(crate) fn map_failure(error: Error) -> Error {
    match error {
        ENOMEM => ENOMEM,
        _ => EINVAL,
    }
}

/// Returns true if the hypervisor did not do what `map` asked for because its table of this
/// domain's mappings is full.
pub(crate) fn is_full(map: &bindings::gnttab_map_grant_ref) -> bool {
    // Which of the two statuses says that the table is full depends on the version of Xen.
    const FULL: [i32; 2] = [bindings::GNTST_no_space, bindings::GNTST_no_device_space];
    FULL.contains(&i32::from(map.status))
}

/// Returns true if `unmap` stands for a mapping that exists.
pub(crate) fn is_mapped(unmap: &bindings::gnttab_unmap_grant_ref) -> bool {
    unmap.handle != bindings::INVALID_GRANT_HANDLE
}

/// Invalidates the handle of `unmap` if its status says that the mapping is gone.
///
/// Returns true in that case; otherwise the mapping still exists and the page must not be reused.
pub(crate) fn settle_unmap(unmap: &mut bindings::gnttab_unmap_grant_ref) -> bool {
    if i32::from(unmap.status) != bindings::GNTST_okay as i32 {
        return false;
    }
    unmap.handle = bindings::INVALID_GRANT_HANDLE;
    true
}

/// Settles all of `operations`, which the hypervisor has completed. Returns the number of
/// operations that it refused.
pub(crate) fn settle_unmaps(operations: &mut [bindings::gnttab_unmap_grant_ref]) -> usize {
    operations
        .iter_mut()
        .map(|operation| usize::from(!settle_unmap(operation)))
        .sum()
}
