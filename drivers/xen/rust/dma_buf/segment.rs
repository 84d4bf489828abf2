// SPDX-License-Identifier: GPL-2.0

//! Segments of the memory of a buffer, as plain values.

use core::ops::Range;
use kernel::page::{
    PAGE_SHIFT,
    PAGE_SIZE, //
};

/// Physically contiguous part of the memory of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BufferSegment {
    /// Physical address of the first byte, as this kernel knows it.
    pub(crate) address: u64,
    /// Number of bytes.
    pub(crate) length: usize,
}

impl BufferSegment {
    /// Returns the numbers (pfn) of the frames that the segment touches, or `None` if it ends
    /// beyond the last address.
    pub(crate) fn frames(self) -> Option<Range<u64>> {
        let end = self.address.checked_add(self.length as u64)?;
        Some(self.address >> PAGE_SHIFT..end.div_ceil(PAGE_SIZE as u64))
    }
}
