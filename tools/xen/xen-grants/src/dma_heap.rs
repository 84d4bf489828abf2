// SPDX-License-Identifier: GPL-2.0

//! The kernel's dma-buf heaps: dma-bufs of fresh memory.

use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use rustix::fs::OFlags;
use rustix::ioctl;
use rustix::ioctl::Opcode;
use rustix::ioctl::Updater;

use crate::dma_buf::DmaBuf;
use crate::error::Error;
use crate::error::Result;
use crate::PAGE_SIZE;

const SYSTEM: &str = "/dev/dma_heap/system";
/// `DMA_HEAP_IOCTL_ALLOC`.
const ALLOC: Opcode = ioctl::opcode::read_write::<AllocationData>(b'H', 0);

/// `struct dma_heap_allocation_data`.
#[repr(C)]
struct AllocationData {
    len: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

/// A new dma-buf of `pages` pages of zeroes from the system heap.
///
/// # Errors
///
/// `ENOENT` if the kernel has no such heap, `ENOMEM` if it has not enough memory.
pub fn allocate(pages: usize) -> Result<DmaBuf> {
    let heap = File::open(SYSTEM).map_err(|error| Error::new(SYSTEM, error))?;
    let mut data = AllocationData {
        len: (pages * PAGE_SIZE) as u64,
        fd: 0,
        fd_flags: (OFlags::RDWR | OFlags::CLOEXEC).bits(),
        heap_flags: 0,
    };
    // SAFETY: The argument is the structure that this request reads and writes.
    unsafe { ioctl::ioctl(&heap, Updater::<ALLOC, _>::new(&mut data)) }
        .map_err(|error| Error::new("DMA_HEAP_IOCTL_ALLOC", error))?;
    // SAFETY: The kernel has just opened the descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(data.fd as i32) }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_kernel_s_number() {
        assert_eq!(ALLOC, 0xc018_4800);
    }
}
