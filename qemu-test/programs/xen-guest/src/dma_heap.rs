// SPDX-License-Identifier: GPL-2.0

//! The system's dma-buf heap: dma-bufs of fresh memory of the kernel.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::dma_buf::DmaBuf;
use crate::mapping::check;
use crate::PAGE_SIZE;

const SYSTEM: &str = "/dev/dma_heap/system";
/// The request `DMA_HEAP_IOCTL_ALLOC`: reads and writes its argument, type `H`.
const ALLOCATE: libc::c_ulong =
    (3 << 30) | ((size_of::<Allocation>() as libc::c_ulong) << 16) | ((b'H' as libc::c_ulong) << 8);

#[repr(C)]
struct Allocation {
    length: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

/// A new dma-buf of `pages` pages, all zero.
pub fn allocate(pages: usize) -> io::Result<DmaBuf> {
    let heap = File::open(SYSTEM)?;
    let mut argument = Allocation {
        length: (pages * PAGE_SIZE) as u64,
        fd: 0,
        fd_flags: (libc::O_RDWR | libc::O_CLOEXEC) as u32,
        heap_flags: 0,
    };
    // SAFETY: The argument is what this request wants.
    check(unsafe { libc::ioctl(heap.as_raw_fd(), ALLOCATE, &raw mut argument) })?;
    // SAFETY: The descriptor is new and nobody else's.
    unsafe { DmaBuf::from_answer(argument.fd) }
}
