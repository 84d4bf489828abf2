// SPDX-License-Identifier: GPL-2.0

//! What programs say about dma-bufs, and whether the pieces of one are its pages.

#![forbid(unsafe_code)]

use crate::xen::{
    dma_buf::segment::BufferSegment,
    gntdev::uapi::{
        GNTDEV_DMA_FLAG_COHERENT,
        GNTDEV_DMA_FLAG_WC, //
    },
};
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// The kind of frames that an exported buffer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Any frames.
    Ordinary,
    /// Frames of memory as `dma_alloc_wc()` gives it.
    WriteCombine,
    /// Frames of memory as `dma_alloc_coherent()` gives it.
    Coherent,
}

impl Backing {
    /// Takes the flags as the UAPI passes them.
    ///
    /// # Errors
    ///
    /// `EINVAL` for unknown flags, and for two at once.
    pub(crate) fn from_flags(flags: u32) -> Result<Self> {
        match flags {
            0 => Ok(Self::Ordinary),
            GNTDEV_DMA_FLAG_WC => Ok(Self::WriteCombine),
            GNTDEV_DMA_FLAG_COHERENT => Ok(Self::Coherent),
            _ => Err(EINVAL),
        }
    }

    /// The word for it in fdinfo.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::WriteCombine => "write-combine",
            Self::Coherent => "coherent",
        }
    }
}

/// Where in the pages that a program names the data of a buffer begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataStart {
    /// The page, counted from the first. The buffer begins with it.
    pub(crate) page: usize,
    /// The byte in that page.
    pub(crate) offset: usize,
}

impl DataStart {
    /// Takes the offset in bytes from the start of the first of `page_count` pages.
    ///
    /// # Errors
    ///
    /// `EINVAL` if that is not in the pages.
    pub(crate) fn new(offset: u32, page_count: usize) -> Result<Self> {
        let offset = offset as usize;
        let page = offset >> PAGE_SHIFT;
        if page >= page_count {
            return Err(EINVAL);
        }
        Ok(Self {
            page,
            offset: offset % PAGE_SIZE,
        })
    }
}

/// Checks that the pieces of a buffer are `page_count` pages, one after the other, and returns
/// where in the first of them the data begin, in bytes.
///
/// # Errors
///
/// `EINVAL` if they are more or fewer pages, or if there is a gap between two pieces within a page.
pub(crate) fn data_offset(
    segments: impl Iterator<Item = BufferSegment>,
    page_count: usize,
) -> Result<usize> {
    let mut data_offset = None;
    // Where the last piece ended within a page: nothing can follow it but at a page's start.
    let mut end_in_page = 0;
    let mut missing = page_count as u64;
    for segment in segments {
        let start_in_page = segment.address as usize % PAGE_SIZE;
        if data_offset.is_none() {
            data_offset = Some(start_in_page);
        } else if start_in_page != 0 || end_in_page != 0 {
            return Err(EINVAL);
        }
        end_in_page = (start_in_page + segment.length) % PAGE_SIZE;
        let frames = segment.frames().ok_or(EINVAL)?;
        missing = missing
            .checked_sub(frames.end - frames.start)
            .ok_or(EINVAL)?;
    }
    match missing {
        0 => data_offset.ok_or(EINVAL),
        _ => Err(EINVAL),
    }
}
