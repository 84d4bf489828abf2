// SPDX-License-Identifier: GPL-2.0

//! Tests of the pages that a copy pins, and of the operations that a segment is cut into.

#![forbid(unsafe_code)]

use crate::{
    copy_plan::{
        segment_status,
        Plan,
        Run,
        Runs, //
    },
    xen::{
        gntdev::copy_segment::{
            CopySegment,
            SegmentEnd, //
        },
        grant::operation::GrantReference,
    },
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

#[kunit_tests(xen_gntdev_copy_plan)]
mod tests {
    use super::*;

    fn run(first: usize, count: usize) -> Option<Run> {
        Some(Run { first, count })
    }

    #[test]
    fn adjacent_pages_are_one_run() -> Result {
        let mut runs = Runs::default();
        for page in 5..9 {
            let (index, ended) = runs.add(page * PAGE_SIZE, PAGE_SIZE)?;
            assert_eq!((index, ended), (page - 5, None));
        }
        assert_eq!(runs.finish(), run(5, 4));
        assert_eq!(runs.finish(), None);
        Ok(())
    }

    #[test]
    fn a_page_is_in_a_run_once() -> Result {
        let mut runs = Runs::default();
        assert_eq!(runs.add(5 * PAGE_SIZE, 1)?, (0, None));
        assert_eq!(runs.add(5 * PAGE_SIZE + 7, 1)?, (0, None));
        assert_eq!(runs.add(6 * PAGE_SIZE - 1, 2)?, (0, None));
        assert_eq!(runs.add(6 * PAGE_SIZE, 1)?, (1, None));
        assert_eq!(runs.add(5 * PAGE_SIZE, 1)?, (0, None));
        assert_eq!(runs.finish(), run(5, 2));
        Ok(())
    }

    #[test]
    fn holes_and_steps_back_end_a_run() -> Result {
        let mut runs = Runs::default();
        assert_eq!(runs.add(5 * PAGE_SIZE, 2 * PAGE_SIZE)?, (0, None));
        assert_eq!(runs.add(8 * PAGE_SIZE, 1)?, (2, run(5, 2)));
        assert_eq!(runs.add(7 * PAGE_SIZE, PAGE_SIZE + 1)?, (3, run(8, 1)));
        assert_eq!(runs.finish(), run(7, 2));
        Ok(())
    }

    #[test]
    fn no_bytes_lie_beyond_the_last_address() -> Result {
        let mut runs = Runs::default();
        assert_eq!(runs.add(usize::MAX, 2), Err(EFAULT));
        assert_eq!(runs.add(usize::MAX - 4094, 4096), Err(EFAULT));
        assert_eq!(runs.finish(), None);
        assert_eq!(runs.add(usize::MAX, 1)?, (0, None));
        Ok(())
    }

    const GRANT: GrantReference = GrantReference {
        domain: 7,
        reference: 3,
    };

    /// Returns source offset, destination offset and length, in bytes, of each operation that
    /// copies a segment. Local ends have two pinned pages.
    fn split(
        source: SegmentEnd,
        destination: SegmentEnd,
        length: usize,
    ) -> Result<KVec<(u16, u16, u16)>> {
        let plan = Plan {
            segment: CopySegment {
                source,
                destination,
                length,
            },
            source_page: 10,
            destination_page: 20,
        };
        let mut pieces = KVec::new();
        let count = plan.split(
            |page| (10..12).contains(&page).then_some(page as u64),
            |page| (20..22).contains(&page).then_some(page as u64),
            |piece| {
                let piece = (piece.source.offset, piece.dest.offset, piece.len);
                Ok(pieces.push(piece, GFP_KERNEL)?)
            },
        )?;
        assert_eq!(count, pieces.len());
        Ok(pieces)
    }

    #[test]
    fn a_segment_within_a_page_is_one_operation() -> Result {
        let local = SegmentEnd::Local(0x7000_0100);
        let grant = SegmentEnd::Grant(GRANT, 0x200);
        assert_eq!(split(local, grant, 64)?.as_slice(), &[(0x100, 0x200, 64)]);
        assert_eq!(split(grant, local, 64)?.as_slice(), &[(0x200, 0x100, 64)]);
        assert_eq!(split(grant, grant, 64)?.as_slice(), &[(0x200, 0x200, 64)]);
        Ok(())
    }

    #[test]
    fn a_local_end_that_crosses_pages_is_cut() -> Result {
        let local = SegmentEnd::Local(0x7000_0f00);
        let grant = SegmentEnd::Grant(GRANT, 0x20);
        assert_eq!(
            split(local, grant, 0x180)?.as_slice(),
            &[(0xf00, 0x20, 0x100), (0, 0x120, 0x80)]
        );
        assert_eq!(
            split(grant, local, 0x180)?.as_slice(),
            &[(0x20, 0xf00, 0x100), (0x120, 0, 0x80)]
        );
        assert_eq!(split(local, grant, 0x100)?.len(), 1);
        Ok(())
    }

    #[test]
    fn no_bytes_are_no_operation() -> Result {
        let local = SegmentEnd::Local(0x7000_0000);
        let grant = SegmentEnd::Grant(GRANT, 0);
        assert!(split(local, grant, 0)?.is_empty());
        Ok(())
    }

    #[test]
    fn a_page_that_is_not_pinned_is_a_fault() -> Result {
        let plan = Plan {
            segment: CopySegment {
                source: SegmentEnd::Local(0x7000_0f00),
                destination: SegmentEnd::Grant(GRANT, 0),
                length: 0x180,
            },
            source_page: 0,
            destination_page: 0,
        };
        let result = plan.split(|page| (page == 0).then_some(1), |_| None, |_| Ok(()));
        assert_eq!(result, Err(EFAULT));
        Ok(())
    }

    #[test]
    fn the_first_failure_is_the_status() {
        assert_eq!(segment_status([].into_iter()), 0);
        assert_eq!(segment_status([0, 0].into_iter()), 0);
        assert_eq!(segment_status([0, -3].into_iter()), -3);
        assert_eq!(segment_status([-3, 0].into_iter()), -3);
        assert_eq!(segment_status([0, -8, -3].into_iter()), -8);
    }

    #[test]
    fn a_status_takes_no_operation_of_the_next_segment() {
        let mut operations = [-3, 0, -8, 0].into_iter();
        assert_eq!(segment_status(operations.by_ref().take(2)), -3);
        assert_eq!(segment_status(operations.by_ref().take(1)), -8);
        assert_eq!(segment_status(operations.by_ref().take(1)), 0);
    }
}
