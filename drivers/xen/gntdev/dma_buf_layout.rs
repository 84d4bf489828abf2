// SPDX-License-Identifier: GPL-2.0

//! Arguments of the dma-buf ioctls, and the check that the segments of a dma-buf are whole pages.

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

/// Kind of memory that a program requests for an exported buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Memory of any kind.
    Ordinary,
    /// Memory as from `dma_alloc_wc()`.
    WriteCombine,
    /// Memory as from `dma_alloc_coherent()`.
    Coherent,
}

impl Backing {
    /// Converts the flags of the UAPI.
    ///
    /// # Errors
    ///
    /// `EINVAL` for unknown flags, and for more than one.
    pub(crate) fn from_flags(flags: u32) -> Result<Self> {
        match flags {
            0 => Ok(Self::Ordinary),
            GNTDEV_DMA_FLAG_WC => Ok(Self::WriteCombine),
            GNTDEV_DMA_FLAG_COHERENT => Ok(Self::Coherent),
            _ => Err(EINVAL),
        }
    }

    /// Returns the word for it in fdinfo.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::WriteCombine => "write-combine",
            Self::Coherent => "coherent",
        }
    }
}

/// Start of the data of a buffer in the pages that a program names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataStart {
    /// Index of the page that contains the start. The buffer begins with it.
    pub(crate) page: usize,
    /// Offset in that page, in bytes.
    pub(crate) offset: usize,
}

impl DataStart {
    /// Converts an offset in bytes from the start of the first of `page_count` pages.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the offset is beyond the pages.
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

/// Checks that the segments of a buffer are `page_count` consecutive pages, and returns the offset
/// of the data in the first page, in bytes.
///
/// # Errors
///
/// `EINVAL` if there are more or fewer pages, or if there is a gap within a page.
pub(crate) fn data_offset(
    segments: impl Iterator<Item = BufferSegment>,
    page_count: usize,
) -> Result<usize> {
    let mut data_offset = None;
    // End of the last segment within its page: unless it is 0, no segment can follow.
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
