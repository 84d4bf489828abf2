// SPDX-License-Identifier: GPL-2.0

//! Copy operations of the grant table hypercall, as plain values.
//!
//! C header: `include/xen/interface/grant_table.h`.

use super::operation::GrantReference;
use crate::xen::bindings;

/// One end of a copy operation. The bytes lie within one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyEnd {
    /// A frame of this domain, from this offset on, in bytes.
    Frame(u64, u16),
    /// A granted page, from this offset on, in bytes.
    Grant(GrantReference, u16),
}

impl CopyEnd {
    const fn is_grant(&self) -> bool {
        matches!(self, CopyEnd::Grant(..))
    }

    fn into_raw(self) -> bindings::gnttab_copy_gnttab_copy_ptr {
        match self {
            CopyEnd::Frame(gfn, offset) => bindings::gnttab_copy_gnttab_copy_ptr {
                u: bindings::gnttab_copy_gnttab_copy_ptr__bindgen_ty_1 {
                    gmfn: gfn as bindings::xen_pfn_t,
                },
                domid: bindings::DOMID_SELF as u16,
                offset,
            },
            CopyEnd::Grant(grant, offset) => bindings::gnttab_copy_gnttab_copy_ptr {
                u: bindings::gnttab_copy_gnttab_copy_ptr__bindgen_ty_1 {
                    ref_: grant.reference,
                },
                domid: grant.domain,
                offset,
            },
        }
    }
}

/// Builds the operation that copies `length` bytes, which lie within one page at either end.
pub(crate) fn copy_operation(
    source: CopyEnd,
    destination: CopyEnd,
    length: u16,
) -> bindings::gnttab_copy {
    let mut flags = 0;
    if source.is_grant() {
        flags |= bindings::GNTCOPY_source_gref;
    }
    if destination.is_grant() {
        flags |= bindings::GNTCOPY_dest_gref;
    }
    bindings::gnttab_copy {
        source: source.into_raw(),
        dest: destination.into_raw(),
        len: length,
        flags: flags as u16,
        ..Default::default()
    }
}
