// SPDX-License-Identifier: GPL-2.0

//! Pieces of a buffer's memory, as plain values.

use core::ops::Range;
use kernel::page::{
    PAGE_SHIFT,
    PAGE_SIZE, //
};

/// A piece of a buffer's memory without a gap in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BufferSegment {
    /// The physical address of its first byte, as this kernel knows it.
    pub(crate) address: u64,
    /// The number of bytes.
    pub(crate) length: usize,
}

impl BufferSegment {
    /// The frames that it has a part of, by the numbers that this kernel gives them, or `None` if
    /// it ends past all addresses.
    pub(crate) fn frames(self) -> Option<Range<u64>> {
        let end = self.address.checked_add(self.length as u64)?;
        Some(self.address >> PAGE_SHIFT..end.div_ceil(PAGE_SIZE as u64))
    }
}
