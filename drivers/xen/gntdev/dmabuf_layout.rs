// SPDX-License-Identifier: GPL-2.0

//! What programs say about dma-bufs, and what the pieces of one amount to.

#![forbid(unsafe_code)]

use crate::xen::{
    bindings::{
        GNTDEV_DMA_FLAG_COHERENT,
        GNTDEV_DMA_FLAG_WC, //
    },
    buffer_segment::Segment,
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
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

/// The memory of a buffer, page by page.
pub(crate) struct Layout {
    /// Where in the first page the data begin, in bytes.
    pub(crate) data_offset: usize,
    /// The frame of each page, as this kernel counts them.
    pub(crate) frames: KVVec<u64>,
}

impl Layout {
    /// Puts the pieces of a buffer together, which must be `page_count` pages. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they are more or fewer, or if there is a gap between two pieces within a page;
    /// `ENOMEM`.
    pub(crate) fn new(segments: impl Iterator<Item = Segment>, page_count: usize) -> Result<Self> {
        let mut layout = Self {
            data_offset: 0,
            frames: KVVec::with_capacity(page_count, GFP_KERNEL | __GFP_NOWARN)?,
        };
        // Where the last piece ended within a page: nothing can follow it but at a page's start.
        let mut end_in_page = 0;
        for segment in segments {
            let start_in_page = segment.address as usize % PAGE_SIZE;
            if layout.frames.is_empty() {
                layout.data_offset = start_in_page;
            } else if start_in_page != 0 || end_in_page != 0 {
                return Err(EINVAL);
            }
            let frames = segment.frames().ok_or(EINVAL)?;
            end_in_page = (start_in_page + segment.length) % PAGE_SIZE;
            for frame in frames {
                if layout.frames.len() == page_count {
                    return Err(EINVAL);
                }
                layout.frames.push_within_capacity(frame)?;
            }
        }
        if layout.frames.len() != page_count {
            return Err(EINVAL);
        }
        Ok(layout)
    }
}
