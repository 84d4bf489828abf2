// SPDX-License-Identifier: GPL-2.0

//! Memory of a program as a file, and dma-bufs made of its pages by udmabuf.

use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;

use crate::dma_buf::DmaBuf;
use crate::mapping::check;
use crate::mapping::Mapping;
use crate::mapping::Protection;
use crate::mapping::Sharing;
use crate::PAGE_SIZE;

const DEVICE: &str = "/dev/udmabuf";
const SIZE_LIMIT: &str = "/sys/module/udmabuf/parameters/size_limit_mb";
const CLOSED_ON_EXEC: u32 = 1;
/// The request `UDMABUF_CREATE_LIST`: writes, eight bytes, type `u`.
const CREATE_LIST: libc::c_ulong = (1 << 30) | (8 << 16) | ((b'u' as libc::c_ulong) << 8) | 0x43;

/// A file in memory, made by memfd_create(2), that cannot become shorter.
#[derive(Debug)]
pub struct MemoryFile {
    file: File,
    pages: usize,
}

impl MemoryFile {
    /// A new one of `pages` pages, all zero.
    pub fn new(pages: usize) -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: The name is a string that ends with a zero.
        let fd = unsafe { libc::memfd_create(c"xen-guest".as_ptr(), flags) };
        check(fd)?;
        // SAFETY: The descriptor is new and nobody else's.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len((pages * PAGE_SIZE) as u64)?;
        // SAFETY: Takes numbers only.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK) })?;
        Ok(Self { file, pages })
    }

    /// Maps the whole file for reading and writing.
    pub fn map(&self) -> io::Result<Mapping> {
        Mapping::of_file(
            self.as_fd(),
            0,
            self.pages,
            Protection::ReadWrite,
            Sharing::Shared,
        )
    }

    /// A dma-buf of the whole file.
    pub fn buffer(&self) -> io::Result<DmaBuf> {
        self.create(&[(0, self.pages)])
    }

    /// A dma-buf of single pages of the file in any order.
    pub fn buffer_of(&self, pages: &[usize]) -> io::Result<DmaBuf> {
        let runs: Vec<(usize, usize)> = pages.iter().map(|page| (*page, 1)).collect();
        self.create(&runs)
    }

    /// Makes a dma-buf of runs of pages: where each begins and how many it has.
    fn create(&self, runs: &[(usize, usize)]) -> io::Result<DmaBuf> {
        // Flags and number of runs, then descriptor, offset and size of each.
        let mut words = vec![u64::from(CLOSED_ON_EXEC) | ((runs.len() as u64) << 32)];
        for (first, pages) in runs {
            words.push(self.file.as_raw_fd() as u64);
            words.push((first * PAGE_SIZE) as u64);
            words.push((pages * PAGE_SIZE) as u64);
        }
        let device = File::options().read(true).write(true).open(DEVICE)?;
        // SAFETY: The argument has as many runs as it says; it is only read.
        let fd = unsafe { libc::ioctl(device.as_raw_fd(), CREATE_LIST, words.as_ptr()) };
        check(fd)?;
        // SAFETY: The descriptor is new and nobody else's.
        unsafe { DmaBuf::from_answer(fd as u32) }
    }
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The most that udmabuf makes a dma-buf of, in pages.
pub fn largest_buffer() -> io::Result<usize> {
    let text = fs::read_to_string(SIZE_LIMIT)?;
    let mebibytes: usize = text
        .trim()
        .parse()
        .map_err(|_| io::Error::other(format!("{SIZE_LIMIT} is no number: {text:?}")))?;
    Ok(mebibytes * (1 << 20) / PAGE_SIZE)
}
