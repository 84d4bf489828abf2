// SPDX-License-Identifier: GPL-2.0

//! Pieces of a buffer's memory, as plain values.

/// A piece of a buffer's memory without a gap in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The physical address of its first byte, as this kernel knows it.
    pub(crate) address: u64,
    /// The number of bytes.
    pub(crate) length: usize,
}
