// SPDX-License-Identifier: GPL-2.0

//! A dma-buf: memory that devices and programs share by a file descriptor.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use crate::ioctl;
use crate::ioctl::Request;
use crate::mapping::Mapping;
use crate::PAGE_SIZE;

/// `struct dma_buf_sync`.
#[repr(C)]
struct DmaBufSync {
    flags: u64,
}

const DMA_BUF_IOCTL_SYNC: Request = ioctl::to_kernel::<DmaBufSync>("DMA_BUF_IOCTL_SYNC", b'b', 0);
const DMA_BUF_SYNC_READ: u64 = 1;
const DMA_BUF_SYNC_START: u64 = 0;
const DMA_BUF_SYNC_END: u64 = 4;

/// A dma-buf, by its file descriptor.
pub struct DmaBuf {
    file: OwnedFd,
    pages: usize,
}

/// The number that a closed dma-buf's file descriptor had. gntdev knows an
/// export by it, also when it is closed.
#[derive(Clone, Copy)]
pub struct ClosedNumber(pub(crate) u32);

impl DmaBuf {
    /// The dma-buf that has `file` for its descriptor, and so many pages.
    pub fn new(file: OwnedFd, pages: usize) -> Self {
        Self { file, pages }
    }

    /// Number of pages.
    pub fn pages(&self) -> usize {
        self.pages
    }

    pub(crate) fn number(&self) -> u32 {
        // A file descriptor that is open is not negative.
        self.file.as_raw_fd() as u32
    }

    /// Maps all of it to be read.
    pub fn map(&self) -> io::Result<Mapping> {
        Mapping::read_only(self.as_fd(), self.pages * PAGE_SIZE)
    }

    /// Calls `read` when the processor can see what devices have written. The
    /// memory may be in caches of either; only the kernel knows.
    pub fn reading<T>(&self, read: impl FnOnce() -> T) -> io::Result<T> {
        self.synchronize(DMA_BUF_SYNC_START)?;
        let result = read();
        self.synchronize(DMA_BUF_SYNC_END)?;
        Ok(result)
    }

    fn synchronize(&self, edge: u64) -> io::Result<()> {
        let mut argument = DmaBufSync {
            flags: DMA_BUF_SYNC_READ | edge,
        };
        // SAFETY: The argument is what this request wants, without addresses.
        unsafe { ioctl::call(self.as_fd(), DMA_BUF_IOCTL_SYNC, &mut argument) }?;
        Ok(())
    }

    /// Closes the file descriptor. The memory lives on as long as others,
    /// mappings or devices, use it.
    pub fn close(self) -> ClosedNumber {
        ClosedNumber(self.number())
    }
}

impl AsFd for DmaBuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_kernel_s_number() {
        assert_eq!(DMA_BUF_IOCTL_SYNC.number, 0x4008_6200);
    }
}
