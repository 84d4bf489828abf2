// SPDX-License-Identifier: GPL-2.0

//! Operations of the grant table hypercall that map and unmap, as plain values.
//!
//! Nothing in here touches memory or the hypervisor: these functions fill the structures of
//! `include/xen/interface/grant_table.h` and judge the answers.

use crate::xen::bindings;
use kernel::prelude::*;

/// The state of a map operation before the hypervisor answered.
///
/// Xen answers with 0 or a negative status, so that an operation which it never looked at cannot
/// be taken for one that succeeded.
const STATUS_UNANSWERED: i16 = 1;

/// A page that another domain granted: the C pair of `domid_t` and `grant_ref_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GrantReference {
    /// The domain that granted the page.
    pub(crate) domain: u16,
    /// The index of the grant in that domain's grant table.
    pub(crate) reference: u32,
}

impl GrantReference {
    /// Takes the pair as the UAPI passes it, where the domain has 32 bits.
    ///
    /// # Errors
    ///
    /// `EINVAL` if no domain can have this number: a `domid_t` has 16 bits. (The C driver cuts
    /// the upper bits off and so maps the page of another domain than the one that was named.)
    pub(crate) fn from_user(domain: u32, reference: u32) -> Result<Self> {
        Ok(Self {
            domain: u16::try_from(domain).map_err(|_| EINVAL)?,
            reference,
        })
    }
}

/// What a mapping of a grant allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The page can be read (`GNTMAP_readonly`).
    ReadOnly,
    /// The page can be read and written; Xen refuses it if the page was granted read-only.
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

/// Where a grant is to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// At an address that the kernel uses: a linear address in a paravirtual domain, a guest
    /// physical address in all others.
    Kernel(u64),
    /// At the page-table entry of a process, named by the machine address of the entry.
    /// Paravirtual domains only.
    UserPageTableEntry(u64),
}

impl Target {
    const fn address(self) -> u64 {
        match self {
            Target::Kernel(address) | Target::UserPageTableEntry(address) => address,
        }
    }

    /// The flags of a map or unmap at this target.
    ///
    /// The first guest-available bit becomes the page-table entry's "special" bit, by which the
    /// memory management sees that no struct page can be derived from the frame number.
    const fn flags(self) -> u32 {
        match self {
            Target::Kernel(_) => 0,
            Target::UserPageTableEntry(_) => {
                bindings::GNTMAP_application_map
                    | bindings::GNTMAP_contains_pte
                    | 1 << bindings::_GNTMAP_guest_avail0
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

/// Builds the operation that undoes `map`, as it was answered (C: `gnttab_set_unmap_op()`).
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

/// Returns whether the hypervisor mapped what `map` asked for.
pub(crate) fn succeeded(map: &bindings::gnttab_map_grant_ref) -> bool {
    i32::from(map.status) == bindings::GNTST_okay as i32
}

/// Returns whether `unmap` stands for a mapping that exists.
pub(crate) fn is_mapped(unmap: &bindings::gnttab_unmap_grant_ref) -> bool {
    unmap.handle != bindings::INVALID_GRANT_HANDLE
}

/// Notes in `unmap` that its mapping is gone, if the hypervisor said so.
///
/// Returns whether it did; if not, the mapping still exists and the page must not be reused.
pub(crate) fn settle_unmap(unmap: &mut bindings::gnttab_unmap_grant_ref) -> bool {
    if i32::from(unmap.status) != bindings::GNTST_okay as i32 {
        return false;
    }
    unmap.handle = bindings::INVALID_GRANT_HANDLE;
    true
}

/// Settles the mappings of all of `operations`, which the hypervisor has answered. Returns how many
/// it refused to unmap: these are reported.
pub(crate) fn settle_unmaps(operations: &mut [bindings::gnttab_unmap_grant_ref]) -> usize {
    let mut refused = 0;
    for operation in operations {
        if !settle_unmap(operation) {
            refused += 1;
            pr_err!(
                "Xen refused to unmap grant handle {}: status {}\n",
                operation.handle,
                operation.status
            );
        }
    }
    refused
}
