// SPDX-License-Identifier: GPL-2.0

//! The layout of a dma-buf, compared with a list of the bytes of each page.

use crate::{
    cases,
    dma_buf_layout::{data_offset, Backing, DataStart},
    page::PAGE_SIZE,
    prelude::EINVAL,
    xen::dma_buf::segment::BufferSegment,
};
use proptest::prelude::*;

const PAGE: u64 = PAGE_SIZE as u64;

/// Segment that begins or ends on a page boundary more often than not.
fn segment() -> impl Strategy<Value = BufferSegment> {
    let within = || prop_oneof![4 => Just(0_u64), 1 => 0..PAGE];
    (0..1_u64 << 20, within(), 0..4_u64, within()).prop_map(|(frame, start, pages, end)| {
        let address = frame * PAGE + start;
        let end = ((frame + pages) * PAGE + end).max(address + 1);
        BufferSegment {
            address,
            length: (end - address) as usize,
        }
    })
}

/// First byte and end of the data in each page of a segment.
fn pages(segment: BufferSegment) -> Vec<(u64, u64)> {
    let end = segment.address + segment.length as u64;
    (segment.address / PAGE..=(end - 1) / PAGE)
        .map(|frame| {
            let start = segment.address.max(frame * PAGE);
            (start % PAGE, end.min((frame + 1) * PAGE) - frame * PAGE)
        })
        .collect()
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn a_buffer_is_pages_without_gaps(
        segments in prop::collection::vec(segment(), 0..5), error in -1..=1_isize,
    ) {
        let pages: Vec<_> = segments.iter().copied().flat_map(pages).collect();
        let count = pages.len().saturating_add_signed(error);
        let has_gap = pages.iter().skip(1).any(|&(start, _)| start != 0)
            || pages.iter().rev().skip(1).any(|&(_, end)| end != PAGE);
        let expected = match pages.first() {
            Some(&(start, _)) if count == pages.len() && !has_gap => Ok(start as usize),
            _ => Err(EINVAL),
        };
        prop_assert_eq!(data_offset(segments.into_iter(), count), expected);
    }

    #[test]
    fn no_segment_overflows(
        address: u64, length in any::<u32>().prop_map(|length| length as usize),
    ) {
        let frames = BufferSegment { address, length }.frames();
        prop_assert_eq!(frames.is_none(), address.checked_add(length as u64).is_none());
        if let Some(frames) = frames {
            prop_assert!(frames.start <= address / PAGE);
            prop_assert!(u128::from(frames.end) * u128::from(PAGE)
                >= u128::from(address) + length as u128);
        }
    }

    #[test]
    fn the_start_lies_in_a_page(offset: u32, page_count in 0..1_usize << 21) {
        match DataStart::new(offset, page_count) {
            Ok(start) => {
                prop_assert!(start.page < page_count && start.offset < PAGE_SIZE);
                prop_assert_eq!(start.page * PAGE_SIZE + start.offset, offset as usize);
            }
            Err(error) => {
                prop_assert_eq!(error, EINVAL);
                prop_assert!(offset as usize >= page_count * PAGE_SIZE);
            }
        }
    }

    #[test]
    fn one_flag_at_most(flags: u32, bits in 0..8_u32) {
        for flags in [flags, bits] {
            prop_assert_eq!(Backing::from_flags(flags).is_ok(), flags <= 2);
        }
    }
}
