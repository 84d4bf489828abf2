// SPDX-License-Identifier: GPL-2.0

//! The plan of a batch of copies, compared with the places of the bytes.

use crate::{
    bindings::{
        gntdev_grant_copy_segment, gntdev_grant_copy_segment__bindgen_ty_1 as End,
        gntdev_grant_copy_segment__bindgen_ty_1__bindgen_ty_1 as Foreign, gnttab_copy,
        GNTCOPY_dest_gref, GNTCOPY_source_gref,
    },
    cases,
    copy_plan::{segment_status, Plan, Run, Runs},
    page::{PAGE_SHIFT, PAGE_SIZE},
    prelude::{EFAULT, EINVAL},
    xen::{
        gntdev::copy_segment::{CopySegment, ProgramAbi, SegmentEnd},
        grant::{copy::CopyEnd, operation::GrantReference},
    },
};
use proptest::prelude::*;
use std::ptr;

/// Bytes of the program's memory: few pages, so that segments meet in them.
const MEMORY: usize = 12 * PAGE_SIZE;
/// Number of the frame that has the program's page 0. Frames are in the order of the pages.
const FIRST_FRAME: u64 = 1000;

fn grant_reference() -> impl Strategy<Value = GrantReference> {
    (any::<u16>(), any::<u32>())
        .prop_map(|(domain, reference)| GrantReference { domain, reference })
}

/// Offset in a granted page, often at one of its ends.
fn offset() -> impl Strategy<Value = u16> {
    prop_oneof![
        Just(0),
        0..64_u16,
        4032..4096_u16,
        0..4096_u16,
        any::<u16>()
    ]
}

fn grant_end() -> impl Strategy<Value = SegmentEnd> {
    (grant_reference(), offset()).prop_map(|(grant, offset)| SegmentEnd::Grant(grant, offset))
}

fn local_end() -> impl Strategy<Value = SegmentEnd> {
    let address = (0..MEMORY / PAGE_SIZE, offset());
    address.prop_map(|(page, offset)| {
        SegmentEnd::Local((page * PAGE_SIZE + usize::from(offset)).min(MEMORY - PAGE_SIZE))
    })
}

fn end() -> impl Strategy<Value = SegmentEnd> {
    prop_oneof![grant_end(), local_end()]
}

fn segment() -> impl Strategy<Value = CopySegment> {
    let length = prop_oneof![0..128_usize, 3900..4200_usize, 0..=65535_usize];
    (end(), end(), length).prop_map(|(source, destination, length)| CopySegment {
        source,
        destination,
        length,
    })
}

/// A segment that the driver copies.
fn valid_segment() -> impl Strategy<Value = CopySegment> {
    segment().prop_filter_map("a segment that fits", |mut segment| {
        for end in [segment.source, segment.destination] {
            if let SegmentEnd::Grant(_, offset) = end {
                segment.length = segment
                    .length
                    .min(PAGE_SIZE.checked_sub(usize::from(offset))?);
            }
        }
        segment.check().ok().map(|()| segment)
    })
}

/// Location of the byte at `index` of a segment.
fn byte(end: SegmentEnd, index: usize) -> CopyEnd {
    match end {
        SegmentEnd::Local(address) => {
            let address = address + index;
            let frame = FIRST_FRAME + (address >> PAGE_SHIFT) as u64;
            CopyEnd::Frame(frame, (address % PAGE_SIZE) as u16)
        }
        SegmentEnd::Grant(grant, offset) => CopyEnd::Grant(grant, offset + index as u16),
    }
}

/// Location of the byte at `index` of an operation.
fn operation_byte(end: CopyEnd, index: u16) -> CopyEnd {
    match end {
        CopyEnd::Frame(frame, offset) => CopyEnd::Frame(frame, offset + index),
        CopyEnd::Grant(grant, offset) => CopyEnd::Grant(grant, offset + index),
    }
}

/// Pages that the ends of a batch pin, in the order of pinning.
#[derive(Default)]
struct Pinned {
    runs: Runs,
    pages: Vec<usize>,
}

impl Pinned {
    fn add(&mut self, end: SegmentEnd, length: usize) -> usize {
        match end {
            SegmentEnd::Local(address) if length != 0 => {
                let (index, ended) = self.runs.add(address, length).expect("small addresses");
                self.pin(ended);
                index
            }
            _ => 0,
        }
    }

    fn finish(&mut self) {
        let ended = self.runs.finish();
        self.pin(ended);
    }

    fn pin(&mut self, ended: Option<Run>) {
        if let Some(run) = ended {
            assert!(run.count > 0);
            self.pages.extend(run.first..run.first + run.count);
        }
    }

    fn frame(&self, index: usize) -> Option<u64> {
        self.pages.get(index).map(|&page| FIRST_FRAME + page as u64)
    }
}

/// Pages that the local ends touch, in order.
fn touched(ends: impl Iterator<Item = (SegmentEnd, usize)>) -> Vec<usize> {
    let mut pages: Vec<_> = ends
        .filter_map(|(end, length)| match end {
            SegmentEnd::Local(address) if length != 0 => Some((address, length)),
            _ => None,
        })
        .flat_map(|(address, length)| address / PAGE_SIZE..=(address + length - 1) / PAGE_SIZE)
        .collect();
    pages.sort_unstable();
    pages.dedup();
    pages
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn each_byte_of_a_batch_is_copied_once(
        segments in prop::collection::vec(valid_segment(), 1..24),
    ) {
        let (mut sources, mut destinations) = (Pinned::default(), Pinned::default());
        let plans: Vec<_> = segments
            .iter()
            .map(|&segment| Plan {
                segment,
                source_page: sources.add(segment.source, segment.length),
                destination_page: destinations.add(segment.destination, segment.length),
            })
            .collect();
        sources.finish();
        destinations.finish();

        for (pinned, ends) in [
            (&sources, touched(segments.iter().map(|segment| (segment.source, segment.length)))),
            (&destinations,
             touched(segments.iter().map(|segment| (segment.destination, segment.length)))),
        ] {
            let mut pages = pinned.pages.clone();
            pages.sort_unstable();
            pages.dedup();
            prop_assert_eq!(pages, ends, "no other pages are pinned than those of the segments");
        }

        for plan in &plans {
            let mut operations: Vec<gnttab_copy> = Vec::new();
            let count = plan.split(
                |page| sources.frame(page),
                |page| destinations.frame(page),
                |operation| { operations.push(operation); Ok(()) },
            );
            prop_assert_eq!(count, Ok(operations.len()));
            // An end within a page and one within two: at most two operations.
            prop_assert!(operations.len() <= 2);
            let mut copied = 0;
            for operation in &operations {
                prop_assert!(operation.len > 0);
                // Both ends of an operation are adjacent bytes: those between need no look.
                for index in [0, operation.len - 1] {
                    let segment = &plan.segment;
                    let at = copied + usize::from(index);
                    prop_assert_eq!(
                        operation_byte(operation.source, index), byte(segment.source, at));
                    prop_assert_eq!(
                        operation_byte(operation.dest, index), byte(segment.destination, at));
                }
                copied += usize::from(operation.len);
                for end in [operation.source, operation.dest] {
                    let (CopyEnd::Frame(_, offset) | CopyEnd::Grant(_, offset)) = end;
                    prop_assert!(usize::from(offset) + usize::from(operation.len) <= PAGE_SIZE);
                }
            }
            prop_assert_eq!(copied, plan.segment.length);
        }
    }

    #[test]
    fn a_run_contains_the_bytes_wherever_they_are(
        ranges in prop::collection::vec((any::<usize>(), any::<bool>(), 1..=65535_usize), 1..20),
    ) {
        let mut runs = Runs::default();
        let mut before = 0;
        let mut current: Option<(usize, Run)> = None;
        for (address, is_last, length) in ranges {
            // Half of the addresses are near the last one.
            let address = if is_last { usize::MAX - address % 200_000 } else { address };
            match runs.add(address, length) {
                Err(error) => {
                    prop_assert_eq!(error, EFAULT);
                    prop_assert!(address.checked_add(length - 1).is_none());
                }
                Ok((index, ended)) => {
                    let first = address / PAGE_SIZE;
                    let last = (address + (length - 1)) / PAGE_SIZE;
                    let (start, run) = match (ended, current) {
                        (Some(run), previous) => {
                            prop_assert_eq!(Some(run), previous.map(|(_, run)| run));
                            // Pages that a run can take in do not end it.
                            prop_assert!(first < run.first || first - run.first > run.count);
                            before += run.count;
                            prop_assert_eq!(index, before);
                            (before, Run { first, count: last - first + 1 })
                        }
                        (None, None) => (0, Run { first, count: last - first + 1 }),
                        (None, Some((start, run))) => {
                            prop_assert_eq!(index - start, first - run.first);
                            let end = (run.first + run.count).max(last + 1);
                            (start, Run { first: run.first, count: end - run.first })
                        }
                    };
                    prop_assert_eq!(start, before);
                    current = Some((start, run));
                }
            }
        }
        prop_assert_eq!(runs.finish(), current.map(|(_, run)| run));
    }

    #[test]
    fn the_flags_choose_the_ends(
        bytes: [u64; 2], is_grant: [bool; 2], other_flags in 0_u16..0x4000, length: u16,
    ) {
        let end = |bytes: u64, is_grant| if is_grant {
            let foreign = Foreign {
                ref_: bytes as u32,
                offset: (bytes >> 32) as u16,
                domid: (bytes >> 48) as u16,
            };
            let grant = GrantReference { domain: foreign.domid, reference: foreign.ref_ };
            (End { foreign }, SegmentEnd::Grant(grant, foreign.offset), None)
        } else {
            let virt = ptr::without_provenance_mut(bytes as usize);
            (End { virt }, SegmentEnd::Local(bytes as usize),
             Some(SegmentEnd::Local(bytes as u32 as usize)))
        };
        let (source, source_end, source_compat) = end(bytes[0], is_grant[0]);
        let (dest, destination_end, destination_compat) = end(bytes[1], is_grant[1]);
        let flags = (other_flags << 2)
            | if is_grant[0] { GNTCOPY_source_gref as u16 } else { 0 }
            | if is_grant[1] { GNTCOPY_dest_gref as u16 } else { 0 };
        let raw = gntdev_grant_copy_segment { source, dest, len: length, flags };
        prop_assert_eq!(CopySegment::from_user(&raw, ProgramAbi::Native), CopySegment {
            source: source_end,
            destination: destination_end,
            length: length.into(),
        });
        prop_assert_eq!(CopySegment::from_user(&raw, ProgramAbi::Compat), CopySegment {
            source: source_compat.unwrap_or(source_end),
            destination: destination_compat.unwrap_or(destination_end),
            length: length.into(),
        });
    }

    #[test]
    fn a_segment_is_valid_if_a_grant_has_all_of_its_bytes(segment in segment()) {
        let grants: Vec<u16> = [segment.source, segment.destination]
            .into_iter()
            .filter_map(|end| match end {
                SegmentEnd::Grant(_, offset) => Some(offset),
                SegmentEnd::Local(_) => None,
            })
            .collect();
        let is_valid = !grants.is_empty()
            && grants.iter().all(|&offset| usize::from(offset) + segment.length <= PAGE_SIZE);
        prop_assert_eq!(segment.check(), if is_valid { Ok(()) } else { Err(EINVAL) });
    }

    #[test]
    fn the_first_failure_is_the_status(statuses in prop::collection::vec(-14..=0_i16, 0..5)) {
        let expected = statuses.iter().copied().find(|&status| status != 0).unwrap_or(0);
        prop_assert_eq!(segment_status(statuses.into_iter()), expected);
    }
}
