// SPDX-License-Identifier: GPL-2.0

//! dma-bufs: memory behind a file descriptor, which devices of any driver can
//! work on, and the file itself tells its size, can be mapped and be passed on.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use crate::mapping::check;
use crate::mapping::Mapping;
use crate::mapping::Protection;
use crate::mapping::Sharing;
use crate::PAGE_SIZE;

/// What a program does with the memory between a begin and an end.
pub mod access {
    /// It reads.
    pub const READ: u64 = 1;
    /// It writes.
    pub const WRITE: u64 = 2;
    /// It does both.
    pub const READ_WRITE: u64 = READ | WRITE;
}

const BEGIN: u64 = 0;
const END: u64 = 4;
/// The request `DMA_BUF_IOCTL_SYNC`: writes, eight bytes, type `b`, number 0.
const SYNC: libc::c_ulong = (1 << 30) | (8 << 16) | ((b'b' as libc::c_ulong) << 8);

/// An open dma-buf.
#[derive(Debug)]
pub struct DmaBuf {
    file: File,
}

impl DmaBuf {
    /// Takes over the descriptor `number` that a driver has just answered.
    ///
    /// # Safety
    ///
    /// If it is an open descriptor, nobody else must own it.
    pub(crate) unsafe fn from_answer(number: u32) -> io::Result<Self> {
        let fd = i32::try_from(number)
            .map_err(|_| io::Error::other(format!("no descriptor: {number:#x}")))?;
        // SAFETY: The caller sees to it that this is the only owner.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(owned.into())
    }

    /// The descriptor's number, by which the grant device knows the buffer.
    pub fn number(&self) -> u32 {
        self.file.as_raw_fd() as u32
    }

    /// The buffer's size in bytes, as lseek(2) to its end tells.
    pub fn size(&self) -> io::Result<u64> {
        self.seek(SeekFrom::End(0))
    }

    /// Moves the file's position, of which only the ends can be reached.
    pub fn seek(&self, to: SeekFrom) -> io::Result<u64> {
        (&self.file).seek(to)
    }

    /// Maps all `pages` pages for reading and writing.
    pub fn map(&self, pages: usize) -> io::Result<Mapping> {
        self.map_part(0, pages, Protection::ReadWrite)
    }

    /// Maps `pages` pages from page `first` on.
    pub fn map_part(
        &self,
        first: usize,
        pages: usize,
        protection: Protection,
    ) -> io::Result<Mapping> {
        let offset = (first * PAGE_SIZE) as u64;
        Mapping::of_file(self.as_fd(), offset, pages, protection, Sharing::Shared)
    }

    /// Says that the processor is about to read or write: bits of [`access`].
    pub fn begin_access(&self, access: u64) -> io::Result<()> {
        self.synchronize(BEGIN | access)
    }

    /// Says that the processor has read or written.
    pub fn end_access(&self, access: u64) -> io::Result<()> {
        self.synchronize(END | access)
    }

    /// Sends a begin or an end with any flags.
    pub fn synchronize(&self, flags: u64) -> io::Result<()> {
        // SAFETY: The argument is what this request wants, which only reads.
        check(unsafe { libc::ioctl(self.file.as_raw_fd(), SYNC, &raw const flags) })
    }

    /// A second descriptor of the same open file.
    pub fn duplicate(&self) -> io::Result<Self> {
        let file = self.file.try_clone()?;
        Ok(Self { file })
    }

    /// Whether the descriptor is closed by execve(2).
    pub fn is_closed_on_exec(&self) -> io::Result<bool> {
        // SAFETY: Takes numbers only.
        let flags = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETFD) };
        check(flags)?;
        Ok(flags & libc::FD_CLOEXEC != 0)
    }

    /// Whether the file was opened for reading and writing.
    pub fn is_writable(&self) -> io::Result<bool> {
        // SAFETY: Takes numbers only.
        let flags = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETFL) };
        check(flags)?;
        Ok(flags & libc::O_ACCMODE == libc::O_RDWR)
    }

    /// What fstat(2) says of the file.
    pub fn metadata(&self) -> io::Result<fs::Metadata> {
        self.file.metadata()
    }

    /// What the kernel tells of the open file: /proc/self/fdinfo.
    pub fn fdinfo(&self) -> io::Result<String> {
        fs::read_to_string(format!("/proc/self/fdinfo/{}", self.number()))
    }
}

impl From<OwnedFd> for DmaBuf {
    fn from(descriptor: OwnedFd) -> Self {
        Self {
            file: descriptor.into(),
        }
    }
}

impl From<DmaBuf> for OwnedFd {
    fn from(buffer: DmaBuf) -> Self {
        buffer.file.into()
    }
}

impl AsFd for DmaBuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
