// SPDX-License-Identifier: GPL-2.0

//! Tests of the flags of an exported dma-buf, and of the layout of dma-buf data in pages.

#![forbid(unsafe_code)]

use crate::{
    dma_buf_layout::{
        data_offset,
        Backing,
        DataStart, //
    },
    xen::{
        dma_buf::segment::BufferSegment,
        gntdev::uapi::{
            GNTDEV_DMA_FLAG_COHERENT,
            GNTDEV_DMA_FLAG_WC, //
        },
    },
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

#[kunit_tests(xen_gntdev_dmabuf_layout)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_SIZE as u64;

    fn segment(address: u64, length: usize) -> BufferSegment {
        BufferSegment { address, length }
    }

    fn offset(segments: &[BufferSegment], page_count: usize) -> Result<usize> {
        data_offset(segments.iter().copied(), page_count)
    }

    #[test]
    fn flags_say_the_backing() {
        assert_eq!(Backing::from_flags(0), Ok(Backing::Ordinary));
        assert_eq!(
            Backing::from_flags(GNTDEV_DMA_FLAG_WC),
            Ok(Backing::WriteCombine)
        );
        assert_eq!(
            Backing::from_flags(GNTDEV_DMA_FLAG_COHERENT),
            Ok(Backing::Coherent)
        );
    }

    #[test]
    fn each_backing_has_its_own_word() {
        assert_eq!(Backing::Ordinary.name(), "ordinary");
        assert_eq!(Backing::WriteCombine.name(), "write-combine");
        assert_eq!(Backing::Coherent.name(), "coherent");
    }

    #[test]
    fn other_flags_are_invalid() {
        let both = GNTDEV_DMA_FLAG_WC | GNTDEV_DMA_FLAG_COHERENT;
        for flags in [both, 4, both | 4, GNTDEV_DMA_FLAG_WC | 8, 1 << 31, u32::MAX] {
            assert_eq!(Backing::from_flags(flags), Err(EINVAL));
        }
    }

    fn start(page: usize, offset: usize) -> Result<DataStart> {
        Ok(DataStart { page, offset })
    }

    #[test]
    fn data_begin_at_a_byte_of_a_page() {
        const SIZE: u32 = PAGE_SIZE as u32;
        assert_eq!(DataStart::new(0, 1), start(0, 0));
        assert_eq!(DataStart::new(SIZE - 1, 1), start(0, PAGE_SIZE - 1));
        assert_eq!(DataStart::new(SIZE, 2), start(1, 0));
        assert_eq!(DataStart::new(2 * SIZE + 5, 3), start(2, 5));
        let last = u32::MAX as usize;
        assert_eq!(
            DataStart::new(u32::MAX, 1 << 20),
            start(last / PAGE_SIZE, last % PAGE_SIZE)
        );
    }

    #[test]
    fn data_begin_within_the_pages() {
        for (offset, pages) in [(0, 0), (PAGE_SIZE as u32, 1), (u32::MAX, 1), (u32::MAX, 9)] {
            assert_eq!(DataStart::new(offset, pages), Err(EINVAL));
        }
    }

    #[test]
    fn a_piece_has_each_frame_that_it_has_a_part_of() {
        assert_eq!(segment(7 * PAGE, 3 * PAGE_SIZE).frames(), Some(7..10));
        assert_eq!(segment(4 * PAGE + 64, PAGE_SIZE - 64).frames(), Some(4..5));
        assert_eq!(segment(4 * PAGE, PAGE_SIZE + 1).frames(), Some(4..6));
    }

    #[test]
    fn pieces_follow_each_other() {
        let pieces = [
            segment(9 * PAGE, PAGE_SIZE),
            segment(2 * PAGE, 2 * PAGE_SIZE),
            segment(9 * PAGE, PAGE_SIZE),
        ];
        assert_eq!(offset(&pieces, 4), Ok(0));
    }

    #[test]
    fn data_can_begin_within_the_first_page() {
        let pieces = [
            segment(4 * PAGE + 64, PAGE_SIZE - 64),
            segment(8 * PAGE, PAGE_SIZE),
        ];
        assert_eq!(offset(&pieces, 2), Ok(64));
    }

    #[test]
    fn data_can_end_within_the_last_page() {
        assert_eq!(offset(&[segment(4 * PAGE, PAGE_SIZE + 1)], 2), Ok(0));
    }

    #[test]
    fn a_gap_within_a_page_is_invalid() {
        let ends_early = [segment(PAGE, PAGE_SIZE - 1), segment(2 * PAGE, PAGE_SIZE)];
        assert_eq!(offset(&ends_early, 2), Err(EINVAL));
        let begins_late = [segment(PAGE, PAGE_SIZE), segment(2 * PAGE + 1, 16)];
        assert_eq!(offset(&begins_late, 2), Err(EINVAL));
    }

    #[test]
    fn the_number_of_pages_must_be_right() {
        let pieces = [segment(PAGE, 2 * PAGE_SIZE), segment(8 * PAGE, PAGE_SIZE)];
        for count in [1, 2, 4, 5] {
            assert_eq!(offset(&pieces, count), Err(EINVAL));
        }
        assert_eq!(offset(&pieces, 3), Ok(0));
        assert_eq!(offset(&[], 1), Err(EINVAL));
        assert_eq!(offset(&[], 0), Err(EINVAL));
    }

    #[test]
    fn a_piece_cannot_end_past_all_addresses() {
        let piece = [segment(u64::MAX - PAGE + 1, 2 * PAGE_SIZE)];
        assert_eq!(offset(&piece, 2), Err(EINVAL));
    }
}
