// SPDX-License-Identifier: GPL-2.0

//! dma-bufs: memory behind a file descriptor that devices of any driver can work on.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use rustix::ioctl;
use rustix::ioctl::Opcode;
use rustix::ioctl::Setter;

use crate::error::Error;
use crate::error::Result;
use crate::mapping::Mapping;
use crate::mapping::Protection;
use crate::PAGE_SIZE;

/// `DMA_BUF_IOCTL_SYNC`, whose argument is a `struct dma_buf_sync`: the flags alone.
const SYNC: Opcode = ioctl::opcode::write::<u64>(b'b', 0);
const SYNC_START: u64 = 0;
const SYNC_END: u64 = 4;

/// Accesses of the processor to a dma-buf's memory between a begin and an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuAccess {
    /// Reading (`DMA_BUF_SYNC_READ`).
    Read,
    /// Writing (`DMA_BUF_SYNC_WRITE`).
    Write,
    /// Both (`DMA_BUF_SYNC_RW`).
    ReadWrite,
}

impl CpuAccess {
    fn flags(self) -> u64 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::ReadWrite => 3,
        }
    }
}

/// A dma-buf, by its file descriptor; dropping it closes the descriptor.
///
/// The memory lives on as long as others use it: mappings, devices, other descriptors.
///
/// # Examples
///
/// A program reads what a device has written into a dma-buf:
///
/// ```no_run
/// use std::os::fd::OwnedFd;
/// use xen_grants::dma_buf::CpuAccess;
/// use xen_grants::dma_buf::DmaBuf;
/// use xen_grants::mapping::Protection;
///
/// fn first_byte(descriptor: OwnedFd) -> Result<u8, xen_grants::Error> {
///     let buffer = DmaBuf::from(descriptor);
///     let mapping = buffer.map_part(0, 1, Protection::Read)?;
///     buffer.access(CpuAccess::Read, || mapping.read(0))
/// }
/// ```
#[derive(Debug)]
pub struct DmaBuf {
    file: OwnedFd,
}

impl DmaBuf {
    /// Number of the file descriptor, by which the grant device knows the buffer.
    pub fn number(&self) -> u32 {
        // The number of an open descriptor is not negative.
        self.file.as_raw_fd() as u32
    }

    /// Size in bytes.
    ///
    /// # Errors
    ///
    /// Those of lseek(2).
    pub fn size(&self) -> Result<u64> {
        fs::seek(&self.file, SeekFrom::End(0)).map_err(|error| Error::new("lseek", error))
    }

    /// Maps the first `pages` pages for reading and writing.
    ///
    /// # Errors
    ///
    /// Those of mmap(2); `EINVAL` if the buffer has fewer pages.
    pub fn map(&self, pages: usize) -> Result<Mapping> {
        self.map_part(0, pages, Protection::ReadWrite)
    }

    /// Maps `pages` pages from page `first` on.
    ///
    /// # Errors
    ///
    /// As for [`map`](Self::map).
    pub fn map_part(&self, first: usize, pages: usize, protection: Protection) -> Result<Mapping> {
        let offset = (first * PAGE_SIZE) as u64;
        Mapping::of_file(&self.file, offset, pages, protection)
    }

    /// Calls `body`, which makes accesses of the kind `access` to a mapping of the buffer. Devices
    /// see its writes, and it sees earlier writes of devices: caches are written back or
    /// invalidated as needed.
    ///
    /// # Errors
    ///
    /// As for [`begin_access`](Self::begin_access).
    pub fn access<T>(&self, access: CpuAccess, body: impl FnOnce() -> T) -> Result<T> {
        self.begin_access(access)?;
        let result = body();
        self.end_access(access)?;
        Ok(result)
    }

    /// Begins accesses of the processor; [`access`](Self::access) also ends them.
    ///
    /// # Errors
    ///
    /// Those of the exporter.
    pub fn begin_access(&self, access: CpuAccess) -> Result<()> {
        self.synchronize(SYNC_START | access.flags())
    }

    /// Ends accesses of the processor.
    ///
    /// # Errors
    ///
    /// Those of the exporter.
    pub fn end_access(&self, access: CpuAccess) -> Result<()> {
        self.synchronize(SYNC_END | access.flags())
    }

    fn synchronize(&self, flags: u64) -> Result<()> {
        loop {
            // SAFETY: The argument of this request is one u64, which the kernel only reads.
            match unsafe { ioctl::ioctl(&self.file, Setter::<SYNC, u64>::new(flags)) } {
                // The exporter was interrupted before it had any effect.
                Err(Errno::INTR | Errno::AGAIN) => {}
                result => return result.map_err(|error| Error::new("DMA_BUF_IOCTL_SYNC", error)),
            }
        }
    }

    /// A second descriptor of the same open file.
    ///
    /// # Errors
    ///
    /// `EMFILE` if the process has too many open files.
    pub fn try_clone(&self) -> Result<Self> {
        let file = self.file.try_clone();
        Ok(Self {
            file: file.map_err(|error| Error::new("dup", error))?,
        })
    }
}

impl From<OwnedFd> for DmaBuf {
    fn from(file: OwnedFd) -> Self {
        Self { file }
    }
}

impl From<DmaBuf> for OwnedFd {
    fn from(buffer: DmaBuf) -> Self {
        buffer.file
    }
}

impl AsFd for DmaBuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
