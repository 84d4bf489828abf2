// SPDX-License-Identifier: GPL-2.0

//! Arguments of operations.

use guest_test::gntdev::BadAddress;

/// Grant in an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Page of the share in a slot. The share may have ended.
    Of {
        /// Slot of the share.
        share: usize,
        /// Index of the page, modulo the number of pages.
        page: usize,
    },
    /// The same with a domain whose number has more than 16 bits.
    WideDomain {
        /// Slot of the share.
        share: usize,
    },
    /// Reference that is beyond the table of its domain.
    BeyondTable,
    /// Grant of a domain that does not exist.
    AbsentDomain,
}

/// Access rights of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// No access.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// Offset and length of an `mmap()`, or index and count of a removal, beside those of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Those of the region.
    Exact,
    /// One page less, from the second page on.
    WithoutFirst,
    /// One page more.
    Longer,
    /// The right length at an offset that no region has.
    Far,
}

/// Memory at one end of a segment of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyEnd {
    /// Granted page, from this offset on.
    Grant(Grant, u16),
    /// Private memory of the program, from this offset on.
    Scratch(usize),
    /// Mapping in a slot, from this offset on, modulo its length.
    Mapping(usize, usize),
    /// Address that no memory can have.
    Bad(BadAddress),
}

/// Segment of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopySegment {
    /// End that the bytes are read from.
    pub source: CopyEnd,
    /// End that the bytes are written to.
    pub destination: CopyEnd,
    /// Number of bytes.
    pub length: u16,
}

/// Ioctl that writes to its argument at its end, when there is something to undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// `MAP_GRANT_REF` of one grant.
    Insert(Grant),
    /// `DMABUF_EXP_FROM_REFS` of the share in a slot.
    Export(usize),
    /// `DMABUF_IMP_TO_REFS` of the program's own memory in a slot.
    Import(usize),
}

/// Way in which a mapping is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Instructions of the program. The kernel accesses it instead where an instruction would raise
    /// a signal.
    Program,
    /// The kernel, which copies from or to the mapping in read(2) and write(2).
    Kernel,
    /// The kernel by references to the pages, in `/proc/self/mem`.
    Reference,
    /// The kernel by references to the pages, as in an access of another process:
    /// process_vm_readv(2) and process_vm_writev(2).
    Process,
    /// The kernel by pages that it has pinned for direct transfers: a registered buffer of
    /// io_uring.
    Direct,
}

/// Descriptor that is sent over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// That of a file in a slot.
    File(usize),
    /// That of an exported dma-buf in a slot.
    Buffer(usize),
}
