// SPDX-License-Identifier: GPL-2.0

//! Operations of a run.
//!
//! An operation names files, regions, mappings and so on by the slot that it finds them in or puts
//! them into. It has a meaning whatever the slots hold, also after other operations were left out,
//! so that each part of a run is a run.

use guest_test::gntdev::BadAddress;
use guest_test::gntdev::Request;

use crate::argument::Answering;
use crate::argument::By;
use crate::argument::CopySegment;
use crate::argument::Grant;
use crate::argument::Range;
use crate::argument::Rights;
use crate::argument::Sent;

/// Number of slots for open files of the device.
pub const FILES: usize = 3;
/// Number of slots for regions.
pub const REGIONS: usize = 8;
/// Number of slots for mappings.
pub const MAPPINGS: usize = 8;
/// Number of slots for exported dma-bufs.
pub const BUFFERS: usize = 4;
/// Number of slots for dma-bufs of the program's own memory.
pub const MEMORIES: usize = 2;
/// Number of slots for shares: pages that a domain grants together.
pub const SHARES: usize = 6;

/// Pages of the program's own memory that copies use.
pub const SCRATCH_PAGES: usize = 5;

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The owner of the slot grants pages, and writes a pattern to them. A share that is in the
    /// slot ends first.
    Share {
        /// Slot of the share.
        share: usize,
        /// Number of pages.
        pages: usize,
        /// True if they are granted for writing.
        writable: bool,
        /// Name of the pattern.
        seed: u32,
    },
    /// The owner of a share ends its grants.
    Unshare {
        /// Slot of the share.
        share: usize,
    },
    /// The owner of a share reads a byte of it.
    OwnerRead {
        /// Slot of the share.
        share: usize,
        /// Offset, modulo the length.
        at: usize,
    },
    /// The owner of a share changes a byte of it.
    OwnerWrite {
        /// Slot of the share.
        share: usize,
        /// Offset, modulo the length.
        at: usize,
        /// New value.
        value: u8,
    },
    /// The domU ends. Its grants stay mapped where they are.
    EndDomu,
    /// The device is opened, or a descriptor in another slot is duplicated.
    Open {
        /// Slot of the descriptor. One that is in the slot is closed first.
        file: usize,
        /// Slot of the descriptor to duplicate.
        duplicate: Option<usize>,
    },
    /// A descriptor of the device is closed.
    Close {
        /// Slot of the descriptor.
        file: usize,
    },
    /// `MAP_GRANT_REF`.
    Insert {
        /// Slot of the file.
        file: usize,
        /// Slot of the new region.
        region: usize,
        /// Grants of the region.
        grants: Vec<Grant>,
    },
    /// `MAP_GRANT_REF` with a count that the device refuses.
    InsertClaiming {
        /// Slot of the file.
        file: usize,
        /// Count in the argument.
        count: u32,
    },
    /// `UNMAP_GRANT_REF`.
    Remove {
        /// Slot of the file.
        file: usize,
        /// Slot of the region, which may belong to another file or may have been removed.
        region: usize,
        /// Index and count.
        range: Range,
        /// True for a count of 0, which stands for each count.
        any_count: bool,
    },
    /// `mmap()` of the device.
    Map {
        /// Slot of the file.
        file: usize,
        /// Slot of the region, as for a removal.
        region: usize,
        /// Slot of the new mapping. Nothing is done if it is in use.
        mapping: usize,
        /// Offset and length.
        range: Range,
        /// Access rights.
        rights: Rights,
        /// True for `MAP_PRIVATE`.
        private: bool,
    },
    /// `SET_UNMAP_NOTIFY`.
    Notify {
        /// Slot of the file.
        file: usize,
        /// Slot of the region, as for a removal.
        region: usize,
        /// Offset of the byte in the region.
        at: usize,
        /// Bits of the action.
        action: u32,
        /// True for a port that is open.
        open_port: bool,
    },
    /// `GET_OFFSET_FOR_VADDR`.
    PlaceOf {
        /// Slot of the file.
        file: usize,
        /// Slot of the mapping; without one the address is that of the scratch memory.
        mapping: usize,
    },
    /// `GRANT_COPY`.
    Copy {
        /// Slot of the file.
        file: usize,
        /// Segments of the copy.
        segments: Vec<CopySegment>,
    },
    /// `DMABUF_EXP_FROM_REFS`.
    Export {
        /// Slot of the file.
        file: usize,
        /// Slot of the new dma-buf. The descriptor of one that is in the slot is closed first.
        buffer: usize,
        /// Slot of the share whose pages are exported.
        share: usize,
        /// Flags of the memory.
        flags: u32,
        /// Offset of the data, for the second form of the ioctl.
        offset: Option<u32>,
        /// True for a reference that is beyond the table instead of the last one.
        bad: bool,
    },
    /// The descriptor of a dma-buf is closed.
    CloseBuffer {
        /// Slot of the dma-buf.
        buffer: usize,
    },
    /// `mmap()` of a dma-buf.
    MapBuffer {
        /// Slot of the dma-buf.
        buffer: usize,
        /// Slot of the new mapping. Nothing is done if it is in use.
        mapping: usize,
        /// First page.
        first: usize,
        /// Number of pages.
        pages: usize,
        /// Access rights.
        rights: Rights,
        /// True for `MAP_PRIVATE`.
        private: bool,
    },
    /// `DMABUF_EXP_WAIT_RELEASED`.
    Wait {
        /// Slot of the file.
        file: usize,
        /// Slot that names the number of the descriptor, which may be closed.
        buffer: usize,
        /// True to wait until the end of a buffer that nobody holds.
        long: bool,
    },
    /// A dma-buf of memory of the program is made.
    MakeMemory {
        /// Slot of the dma-buf. The descriptor of one that is in the slot is closed first.
        memory: usize,
        /// Number of pages.
        pages: usize,
    },
    /// The descriptor of such a dma-buf is closed.
    CloseMemory {
        /// Slot of the dma-buf.
        memory: usize,
    },
    /// `DMABUF_IMP_TO_REFS`.
    Import {
        /// Slot of the file.
        file: usize,
        /// Slot of the dma-buf; without one the number of no descriptor is passed.
        memory: usize,
        /// Number of pages beside that of the buffer.
        more: i32,
        /// True for a domain whose number has more than 16 bits.
        wide_domain: bool,
        /// True for the second form of the ioctl.
        second_form: bool,
    },
    /// `DMABUF_IMP_RELEASE`.
    EndImport {
        /// Slot of the file.
        file: usize,
        /// Slot that names the number of the descriptor, which may be closed.
        memory: usize,
    },
    /// `read()` of the device.
    Read {
        /// Slot of the file.
        file: usize,
        /// Length in bytes.
        length: usize,
    },
    /// `poll()` of the device.
    Poll {
        /// Slot of the file.
        file: usize,
    },
    /// An ioctl whose argument is at a bad address.
    BadArgument {
        /// Slot of the file.
        file: usize,
        /// The ioctl.
        request: Request,
        /// The address.
        address: BadAddress,
    },
    /// An ioctl whose argument is in memory that can only be read.
    ReadOnlyArgument {
        /// Slot of the file.
        file: usize,
        /// The ioctl, and the things that it names.
        request: Answering,
    },
    /// A mapping is split in two.
    Split {
        /// Slot of the mapping, which keeps the first part.
        mapping: usize,
        /// Slot of the second part. Nothing is done if it is in use.
        rest: usize,
        /// Number of pages of the first part, modulo that of the mapping.
        at: usize,
    },
    /// `munmap()`.
    Unmap {
        /// Slot of the mapping.
        mapping: usize,
    },
    /// `mprotect()`.
    Protect {
        /// Slot of the mapping.
        mapping: usize,
        /// New access rights.
        rights: Rights,
    },
    /// `madvise(MADV_DONTNEED)`.
    Discard {
        /// Slot of the mapping.
        mapping: usize,
    },
    /// `mremap()` to other addresses.
    Relocate {
        /// Slot of the mapping.
        mapping: usize,
    },
    /// `mremap()` to a larger size.
    Grow {
        /// Slot of the mapping.
        mapping: usize,
    },
    /// All bytes of a mapping are read.
    Load {
        /// Slot of the mapping.
        mapping: usize,
        /// Way of the access.
        by: By,
    },
    /// A byte of a mapping is written.
    Store {
        /// Slot of the mapping.
        mapping: usize,
        /// Offset, modulo the length.
        at: usize,
        /// New value.
        value: u8,
        /// Way of the access.
        by: By,
    },
    /// The pages of a mapping are put into an empty pipe by `vmsplice()`.
    Splice {
        /// Slot of the mapping.
        mapping: usize,
    },
    /// All bytes of the pipe are read.
    Drain,
    /// A descriptor is sent over a socket and closed here, so that only the socket has it.
    Send {
        /// The descriptor.
        sent: Sent,
    },
    /// A descriptor is received from the socket. A former one in the slot is closed first.
    Receive {
        /// Slot for a file.
        file: usize,
        /// Slot for a dma-buf.
        buffer: usize,
    },
    /// A copy of the process is started, which keeps all descriptors and those mappings that a copy
    /// gets, and reads these.
    StartChild,
    /// That copy is killed.
    KillChild,
    /// Another program is run: vfork(2), and the memory of this process is shared until the other
    /// program is loaded.
    RunProgram,
    /// A copy of the process reads a mapping and ends.
    Fork {
        /// Slot of the mapping.
        mapping: usize,
    },
    /// An ioctl by the system call of a 32-bit program, if such a program can make it.
    Narrow(Box<Operation>),
}

impl Operation {
    /// Returns the name of the variant.
    pub fn name(&self) -> String {
        if let Self::Narrow(operation) = self {
            return format!("{}-32", operation.name());
        }
        let text = format!("{self:?}");
        let end = text.find(' ').unwrap_or(text.len());
        text[..end].to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_variant() {
        assert_eq!(Operation::Drain.name(), "Drain");
        assert_eq!(Operation::Grow { mapping: 1 }.name(), "Grow");
        let narrow = Operation::Narrow(Box::new(Operation::Drain));
        assert_eq!(narrow.name(), "Drain-32");
    }
}
