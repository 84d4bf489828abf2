// SPDX-License-Identifier: GPL-2.0

//! Segments of `IOCTL_GNTDEV_GRANT_COPY`.
//!
//! C header: [`include/uapi/xen/gntdev.h`](srctree/include/uapi/xen/gntdev.h).

use crate::xen::{
    bindings,
    grant::{
        gfn::XEN_PAGE_SIZE,
        operation::GrantReference, //
    },
};
use kernel::prelude::*;

/// Layout of the structures that a program passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramAbi {
    /// Layout of the kernel.
    Native,
    /// Layout of a 32-bit program on a 64-bit kernel. Segments have the same size, because each end
    /// is a union with members of 8 bytes, but the program sets only the first four bytes of an
    /// address.
    #[cfg_attr(not(CONFIG_COMPAT), allow(dead_code))]
    Compat,
}

impl ProgramAbi {
    /// Returns the address that `pointer`, which was read from the program, stands for.
    fn address(self, pointer: *mut c_void) -> usize {
        match self {
            ProgramAbi::Native => pointer.addr(),
            ProgramAbi::Compat => pointer.addr() as u32 as usize,
        }
    }
}

/// One end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentEnd {
    /// Memory of the program, at this address.
    Local(usize),
    /// A granted page, from this offset on, in bytes.
    Grant(GrantReference, u16),
}

/// One segment, as a program passes it to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopySegment {
    /// End that the bytes are read from.
    pub(crate) source: SegmentEnd,
    /// End that the bytes are written to.
    pub(crate) destination: SegmentEnd,
    /// Number of bytes.
    pub(crate) length: usize,
}

impl CopySegment {
    /// Converts the structure that the program passed. Its flags decide which variant of each end
    /// it means.
    pub(crate) fn from_user(
        segment: &bindings::gntdev_grant_copy_segment,
        abi: ProgramAbi,
    ) -> Self {
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
                SegmentEnd::Local(abi.address(unsafe { end.virt }.cast()))
            }
        };
        Self {
            source: end(&segment.source, bindings::GNTCOPY_source_gref),
            destination: end(&segment.dest, bindings::GNTCOPY_dest_gref),
            length: segment.len.into(),
        }
    }

    /// Checks the two ends and the length.
    ///
    /// # Errors
    ///
    /// `EINVAL` if both ends are the program's own memory, or if a granted end crosses the end of
    /// its page.
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
