// SPDX-License-Identifier: GPL-2.0

//! Memory of a program as a dma-buf: a memfd and `/dev/udmabuf`.

use std::ffi::c_void;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use rustix::fs::MemfdFlags;
use rustix::fs::SealFlags;
use rustix::ioctl;
use rustix::ioctl::Ioctl;
use rustix::ioctl::IoctlOutput;
use rustix::ioctl::Opcode;

use crate::dma_buf::DmaBuf;
use crate::error::Error;
use crate::error::Result;
use crate::mapping::Mapping;
use crate::mapping::Protection;
use crate::PAGE_SIZE;

const DEVICE: &str = "/dev/udmabuf";
const SIZE_LIMIT: &str = "/sys/module/udmabuf/parameters/size_limit_mb";

/// File in memory (memfd) of a fixed number of pages.
///
/// It is sealed against shrinking: while a device uses its pages, they cannot be taken away.
///
/// # Examples
///
/// ```no_run
/// use xen_grants::grant_table::GrantTable;
/// use xen_grants::memory_file::MemoryFile;
/// use xen_grants::DOM0;
///
/// let file = MemoryFile::new(4)?;
/// file.map()?.write_all(0, b"read by dom0");
/// let buffer = file.dma_buf()?;
/// let table = GrantTable::open()?;
/// let import = table.import(DOM0, &buffer)?;
/// println!("grant references: {:?}", import.references());
/// # Ok::<(), xen_grants::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryFile {
    file: OwnedFd,
    pages: usize,
}

impl MemoryFile {
    /// A new file of `pages` pages of zeroes.
    ///
    /// # Errors
    ///
    /// Those of memfd_create(2) and ftruncate(2).
    pub fn new(pages: usize) -> Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("xen-grants", flags)
            .map_err(|error| Error::new("memfd_create", error))?;
        rustix::fs::ftruncate(&file, (pages * PAGE_SIZE) as u64)
            .map_err(|error| Error::new("ftruncate", error))?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK)
            .map_err(|error| Error::new("F_ADD_SEALS", error))?;
        Ok(Self { file, pages })
    }

    /// Number of pages.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Maps the whole file for reading and writing.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn map(&self) -> Result<Mapping> {
        Mapping::of_file(&self.file, 0, self.pages, Protection::ReadWrite)
    }

    /// A dma-buf of the whole file.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no `/dev/udmabuf`, `EINVAL` if the file is larger than
    /// [`largest_dma_buf`] allows.
    pub fn dma_buf(&self) -> Result<DmaBuf> {
        self.create(&[(0, self.pages)])
    }

    /// A dma-buf of single pages of the file, in any order.
    ///
    /// # Errors
    ///
    /// As for [`dma_buf`](Self::dma_buf).
    pub fn dma_buf_of(&self, pages: &[usize]) -> Result<DmaBuf> {
        let runs: Vec<(usize, usize)> = pages.iter().map(|page| (*page, 1)).collect();
        self.create(&runs)
    }

    /// Makes a dma-buf of runs of pages: the first page of each, and their number.
    fn create(&self, runs: &[(usize, usize)]) -> Result<DmaBuf> {
        let device = File::options().read(true).write(true).open(DEVICE);
        let device = device.map_err(|error| Error::new(DEVICE, error))?;
        // SAFETY: `CreateList` is the argument of a request of this device.
        unsafe { ioctl::ioctl(&device, CreateList::new(self.file.as_fd(), runs)) }
            .map(DmaBuf::from)
            .map_err(|error| Error::new("UDMABUF_CREATE_LIST", error))
    }
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Number of pages of the largest dma-buf that udmabuf makes.
///
/// # Errors
///
/// `ENOENT` if the module is not loaded.
pub fn largest_dma_buf() -> Result<usize> {
    let text = fs::read_to_string(SIZE_LIMIT).map_err(|error| Error::new(SIZE_LIMIT, error))?;
    let mebibytes: usize = text.trim().parse().map_err(|_| {
        let message = format!("not a number: {text:?}");
        Error::new(SIZE_LIMIT, io::Error::other(message))
    })?;
    Ok(mebibytes * (1 << 20) / PAGE_SIZE)
}

/// Argument of `UDMABUF_CREATE_LIST`: a `struct udmabuf_create_list` and its items.
struct CreateList {
    words: Vec<u64>,
}

impl CreateList {
    const CLOEXEC: u64 = 1;

    fn new(memfd: BorrowedFd<'_>, runs: &[(usize, usize)]) -> Self {
        // Flags and number of items, then memfd, offset and size of each.
        let mut words = vec![Self::CLOEXEC | ((runs.len() as u64) << 32)];
        for (first, pages) in runs {
            words.push(memfd.as_raw_fd() as u64);
            words.push((first * PAGE_SIZE) as u64);
            words.push((pages * PAGE_SIZE) as u64);
        }
        Self { words }
    }
}

// SAFETY: The argument has as many items as it says, and the kernel only reads it. The request
// returns a new descriptor.
unsafe impl Ioctl for CreateList {
    type Output = OwnedFd;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        ioctl::opcode::write::<u64>(b'u', 0x43)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.words.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(
        result: IoctlOutput,
        _: *mut c_void,
    ) -> rustix::io::Result<Self::Output> {
        // SAFETY: The kernel has just opened the descriptor, and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(result) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_size() {
        let file = MemoryFile::new(2).unwrap();
        let mapping = file.map().unwrap();
        mapping.write_all(2 * PAGE_SIZE - 2, b"xy");
        assert!(rustix::fs::ftruncate(&file, PAGE_SIZE as u64).is_err());
        assert_eq!(file.map().unwrap().read_vec(2 * PAGE_SIZE - 3, 3), b"\0xy");
    }

    #[test]
    fn the_request_lists_each_run() {
        let file = MemoryFile::new(8).unwrap();
        let mut list = CreateList::new(file.as_fd(), &[(0, 1), (5, 2)]);
        let memfd = file.as_fd().as_raw_fd() as u64;
        assert_eq!(list.opcode(), 0x4008_7543);
        assert_eq!(list.words[0], 0x2_0000_0001);
        assert_eq!(list.words[1..], [memfd, 0, 0x1000, memfd, 0x5000, 0x2000]);
        assert!(!list.as_ptr().is_null());
    }
}
