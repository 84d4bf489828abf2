// SPDX-License-Identifier: GPL-2.0

//! Segments that a program wants copied, and the operations of the grant table hypercall that copy
//! them, as plain values.
//!
//! C headers: [`include/uapi/xen/gntdev.h`](srctree/include/uapi/xen/gntdev.h),
//! `include/xen/interface/grant_table.h`.

use super::{
    bindings,
    grant_operation::GrantReference, //
};
use kernel::prelude::*;

/// The size of a page as the grant table knows it, in bytes. The kernel's can be larger.
pub(crate) const XEN_PAGE_SIZE: usize = 4096;

/// One end of a segment that a program wants copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentEnd {
    /// Memory of the program, at this address.
    Local(usize),
    /// A granted page, from this offset on, in bytes.
    Grant(GrantReference, u16),
}

/// One segment that a program wants copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where from.
    pub(crate) source: SegmentEnd,
    /// Where to.
    pub(crate) destination: SegmentEnd,
    /// How many bytes.
    pub(crate) length: usize,
}

impl Segment {
    /// Reads what the program passed. Its flags decide which variant of each end it means.
    pub(crate) fn from_user(segment: &bindings::gntdev_grant_copy_segment) -> Self {
        let end = |end: &bindings::gntdev_grant_copy_segment__bindgen_ty_1, flag: u32| {
            if u32::from(segment.flags) & flag != 0 {
                // SAFETY: All variants of the union are integers and pointers, and the program
                // passed all of its bytes.
                let foreign = unsafe { end.foreign };
                let grant = GrantReference {
                    domain: foreign.domid,
                    reference: foreign.ref_,
                };
                SegmentEnd::Grant(grant, foreign.offset)
            } else {
                // SAFETY: As above.
                SegmentEnd::Local(unsafe { end.virt }.addr())
            }
        };
        Self {
            source: end(&segment.source, bindings::GNTCOPY_source_gref),
            destination: end(&segment.dest, bindings::GNTCOPY_dest_gref),
            length: segment.len.into(),
        }
    }

    /// Checks that the segment can be copied at all.
    ///
    /// # Errors
    ///
    /// `EINVAL` if both ends are the program's own memory, or a granted page would be crossed.
    pub(crate) fn check(&self) -> Result {
        let fits = |end| match end {
            SegmentEnd::Local(_) => true,
            SegmentEnd::Grant(_, offset) => usize::from(offset) + self.length <= XEN_PAGE_SIZE,
        };
        let both_local = matches!(
            (self.source, self.destination),
            (SegmentEnd::Local(_), SegmentEnd::Local(_))
        );
        if both_local || !fits(self.source) || !fits(self.destination) {
            return Err(EINVAL);
        }
        Ok(())
    }
}

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
