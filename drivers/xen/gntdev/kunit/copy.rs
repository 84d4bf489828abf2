// SPDX-License-Identifier: GPL-2.0

//! Tests of the segments that a program wants copied, and of copy operations.

#![forbid(unsafe_code)]

use crate::xen::{
    bindings,
    gntdev::copy_segment::{
        CopySegment,
        ProgramAbi,
        SegmentEnd, //
    },
    grant::{
        copy::{
            copy_operation,
            CopyEnd, //
        },
        operation::GrantReference,
    },
};
use kernel::prelude::*;

#[kunit_tests(xen_gntdev_copy_operation)]
mod tests {
    use super::*;

    const GRANT: GrantReference = GrantReference {
        domain: 7,
        reference: 0x1234_5678,
    };
    const LOCAL: SegmentEnd = SegmentEnd::Local(0x7000_1234);

    fn grant(offset: u16) -> SegmentEnd {
        SegmentEnd::Grant(GRANT, offset)
    }

    fn check(source: SegmentEnd, destination: SegmentEnd, length: usize) -> Result {
        CopySegment {
            source,
            destination,
            length,
        }
        .check()
    }

    #[test]
    fn a_32_bit_program_sets_half_of_an_address() {
        let mut raw = bindings::gntdev_grant_copy_segment::default();
        raw.source.virt = core::ptr::without_provenance_mut(0x5a5a_5a5a_8000_1234);
        raw.dest.foreign.ref_ = 0x1234_5678;
        raw.dest.foreign.offset = 9;
        raw.dest.foreign.domid = 7;
        raw.len = 100;
        raw.flags = bindings::GNTCOPY_dest_gref as u16;
        assert_eq!(
            CopySegment::from_user(&raw, ProgramAbi::Compat),
            CopySegment {
                source: SegmentEnd::Local(0x8000_1234),
                destination: grant(9),
                length: 100,
            }
        );
    }

    #[test]
    fn flags_tell_which_end_is_a_grant() {
        let mut raw = bindings::gntdev_grant_copy_segment::default();
        raw.source.foreign.ref_ = 0x1234_5678;
        raw.source.foreign.offset = 9;
        raw.source.foreign.domid = 7;
        raw.dest.virt = core::ptr::without_provenance_mut(0x7000_1234);
        raw.len = 100;
        raw.flags = bindings::GNTCOPY_source_gref as u16;
        assert_eq!(
            CopySegment::from_user(&raw, ProgramAbi::Native),
            CopySegment {
                source: grant(9),
                destination: LOCAL,
                length: 100,
            }
        );
        raw.flags = bindings::GNTCOPY_dest_gref as u16;
        let swapped = CopySegment::from_user(&raw, ProgramAbi::Native);
        assert!(matches!(swapped.source, SegmentEnd::Local(_)));
        assert!(matches!(swapped.destination, SegmentEnd::Grant(..)));
    }

    #[test]
    fn two_local_ends_are_invalid() {
        assert_eq!(check(LOCAL, LOCAL, 1), Err(EINVAL));
        assert_eq!(check(LOCAL, LOCAL, 0), Err(EINVAL));
        assert_eq!(check(LOCAL, grant(0), 1), Ok(()));
        assert_eq!(check(grant(0), LOCAL, 1), Ok(()));
        assert_eq!(check(grant(0), grant(0), 1), Ok(()));
    }

    #[test]
    fn a_granted_page_must_not_be_crossed() {
        for (offset, length, expected) in [
            (0, 4096, Ok(())),
            (4095, 1, Ok(())),
            (4096, 0, Ok(())),
            (0, 4097, Err(EINVAL)),
            (1, 4096, Err(EINVAL)),
            (4096, 1, Err(EINVAL)),
            (u16::MAX, 0, Err(EINVAL)),
            (u16::MAX, 65535, Err(EINVAL)),
        ] {
            assert_eq!(check(grant(offset), LOCAL, length), expected);
            assert_eq!(check(LOCAL, grant(offset), length), expected);
            assert_eq!(check(grant(0), grant(offset), length), expected);
        }
    }

    #[test]
    fn an_operation_names_both_ends() {
        let operation = copy_operation(CopyEnd::Frame(0x9_abcd, 17), CopyEnd::Grant(GRANT, 18), 64);
        assert_eq!(u32::from(operation.flags), bindings::GNTCOPY_dest_gref);
        assert_eq!(operation.len, 64);
        assert_eq!(u32::from(operation.source.domid), bindings::DOMID_SELF);
        assert_eq!((operation.source.offset, operation.dest.offset), (17, 18));
        assert_eq!(operation.dest.domid, 7);

        let operation = copy_operation(CopyEnd::Grant(GRANT, 1), CopyEnd::Grant(GRANT, 2), 3);
        assert_eq!(
            u32::from(operation.flags),
            bindings::GNTCOPY_source_gref | bindings::GNTCOPY_dest_gref
        );
        let operation = copy_operation(CopyEnd::Grant(GRANT, 1), CopyEnd::Frame(5, 2), 3);
        assert_eq!(u32::from(operation.flags), bindings::GNTCOPY_source_gref);
    }
}
