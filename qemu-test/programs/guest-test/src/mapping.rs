// SPDX-License-Identifier: GPL-2.0

//! System calls that change mappings, or that move data between a mapping and a file.

use std::fs::File;
use std::io;
use std::io::Read;
use std::mem;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::ptr;

use rustix::mm;
use rustix::mm::Advice;
use rustix::mm::MapFlags;
use rustix::mm::MlockAllFlags;
use rustix::mm::MprotectFlags;
use rustix::mm::MremapFlags;
use rustix::mm::ProtFlags;
use rustix::pipe::splice;
use rustix::pipe::PipeFlags;
use rustix::pipe::SpliceFlags;
use xen_grants::bytes::Bytes;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use crate::call::check;
use crate::call::count;

/// Maps `pages` pages of fresh memory that child processes share.
pub fn shared(pages: usize) -> io::Result<Mapping> {
    let (length, flags) = (pages * PAGE_SIZE, prot_flags(Protection::ReadWrite));
    let nowhere = ptr::null_mut();
    // SAFETY: Without a fixed address the kernel only uses free ones.
    let address = unsafe { mm::mmap_anonymous(nowhere, length, flags, MapFlags::SHARED) }?;
    // SAFETY: The mapping is new, and the object its only owner.
    Ok(unsafe { Mapping::from_raw(address as usize, length) })
}

/// Maps `pages` pages of `file` from byte `offset` on, so that the first write to each makes a copy
/// (`MAP_PRIVATE`).
pub fn private(
    file: BorrowedFd<'_>,
    offset: u64,
    pages: usize,
    protection: Protection,
) -> io::Result<Mapping> {
    map_file(file, offset, pages, protection, MapFlags::PRIVATE)
}

/// Maps `pages` pages of `file` from byte `offset` on, and has the kernel touch each before the
/// call returns (`MAP_POPULATE`). The kernel reports no error if it cannot.
pub fn populated(
    file: BorrowedFd<'_>,
    offset: u64,
    pages: usize,
    protection: Protection,
) -> io::Result<Mapping> {
    let flags = MapFlags::SHARED | MapFlags::POPULATE;
    map_file(file, offset, pages, protection, flags)
}

fn map_file(
    file: BorrowedFd<'_>,
    offset: u64,
    pages: usize,
    protection: Protection,
    flags: MapFlags,
) -> io::Result<Mapping> {
    let (nowhere, length) = (ptr::null_mut(), pages * PAGE_SIZE);
    let protection = prot_flags(protection);
    // SAFETY: Without a fixed address the kernel only uses free ones.
    let address = unsafe { mm::mmap(nowhere, length, protection, flags, file, offset) }?;
    // SAFETY: The mapping is new, and the object its only owner.
    Ok(unsafe { Mapping::from_raw(address as usize, length) })
}

/// Locks all memory of the process, and all that it maps from now on: mlockall(2).
pub fn lock_all() -> io::Result<()> {
    Ok(mm::mlockall(
        MlockAllFlags::CURRENT | MlockAllFlags::FUTURE,
    )?)
}

fn prot_flags(protection: Protection) -> ProtFlags {
    ProtFlags::from_bits_retain(protection.bits() as u32)
}

fn pointer(bytes: &Bytes) -> *mut libc::c_void {
    bytes.address() as *mut libc::c_void
}

/// System calls of a test on a mapping.
pub trait MappingCalls: Sized {
    /// Splits the mapping before page `page`, and returns the second part.
    fn split_off(&mut self, page: usize) -> Self;

    /// Appends the part that [`split_off`](Self::split_off) has returned.
    fn join(&mut self, rest: Self);

    /// Replaces this mapping by pages of `file` from byte `offset` on.
    fn replaced_by_file(
        self,
        file: BorrowedFd<'_>,
        offset: u64,
        protection: Protection,
    ) -> io::Result<Self>;

    /// Changes the permitted accesses: mprotect(2).
    fn protect(&self, protection: Protection) -> io::Result<()>;

    /// Unmaps the pages, and maps fresh memory at the same addresses.
    fn replace(&self) -> io::Result<()>;

    /// Drops the page-table entries: madvise(2) with MADV_DONTNEED.
    fn discard(&self) -> io::Result<()>;

    /// Has the kernel touch each page as a write would: madvise(2) with MADV_POPULATE_WRITE.
    fn populate_for_writing(&self) -> io::Result<()>;

    /// Returns for each page whether it is in memory: mincore(2).
    fn residency(&self) -> io::Result<Vec<bool>>;

    /// Moves the mapping to other addresses: mremap(2).
    fn relocate(self) -> io::Result<Self>;

    /// Extends the mapping by one page: mremap(2).
    fn grow(&mut self) -> io::Result<()>;

    /// Writes the whole mapping to `file` by write(2), so that the kernel reads it; returns the
    /// number of bytes.
    fn write_to(&self, file: BorrowedFd<'_>) -> io::Result<usize>;

    /// Reads from `file` to the whole mapping by read(2), so that the kernel writes it; returns the
    /// number of bytes.
    fn read_from(&self, file: BorrowedFd<'_>) -> io::Result<usize>;
}

/// Takes the range out of `mapping`, which is empty afterwards.
fn take(mapping: &mut Mapping) -> (usize, usize) {
    // SAFETY: A mapping without a page owns nothing.
    let empty = unsafe { Mapping::from_raw(mapping.address(), 0) };
    mem::replace(mapping, empty).into_raw()
}

impl MappingCalls for Mapping {
    fn split_off(&mut self, page: usize) -> Self {
        let at = page * PAGE_SIZE;
        assert!(at <= self.len());
        let (address, length) = take(self);
        // SAFETY: Both are parts of the range that was taken, and do not overlap.
        unsafe {
            *self = Self::from_raw(address, at);
            Self::from_raw(address + at, length - at)
        }
    }

    fn join(&mut self, rest: Self) {
        assert_eq!(rest.address(), self.address() + self.len());
        let (address, length) = take(self);
        let (_, more) = rest.into_raw();
        // SAFETY: Both parts were taken, and are next to each other.
        *self = unsafe { Self::from_raw(address, length + more) };
    }

    fn replaced_by_file(
        self,
        file: BorrowedFd<'_>,
        offset: u64,
        protection: Protection,
    ) -> io::Result<Self> {
        // SAFETY: The range belongs to this object, and holds no Rust object.
        unsafe {
            mm::mmap(
                pointer(&self),
                self.len(),
                prot_flags(protection),
                MapFlags::SHARED | MapFlags::FIXED,
                file,
                offset,
            )
        }?;
        Ok(self)
    }

    fn protect(&self, protection: Protection) -> io::Result<()> {
        let flags = MprotectFlags::from_bits_retain(protection.bits() as u32);
        // SAFETY: The pages hold no Rust object, so no reference depends on their protection.
        Ok(unsafe { mm::mprotect(pointer(self), self.len(), flags) }?)
    }

    fn replace(&self) -> io::Result<()> {
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        let protection = prot_flags(Protection::ReadWrite);
        // SAFETY: The range belongs to this object, and holds no Rust object.
        unsafe { mm::mmap_anonymous(pointer(self), self.len(), protection, flags) }?;
        Ok(())
    }

    fn discard(&self) -> io::Result<()> {
        // SAFETY: As in `protect`.
        Ok(unsafe { mm::madvise(pointer(self), self.len(), Advice::LinuxDontNeed) }?)
    }

    fn populate_for_writing(&self) -> io::Result<()> {
        // SAFETY: As in `protect`; no byte changes.
        Ok(unsafe { mm::madvise(pointer(self), self.len(), Advice::LinuxPopulateWrite) }?)
    }

    fn residency(&self) -> io::Result<Vec<bool>> {
        let mut pages = vec![0u8; self.pages()];
        // SAFETY: `pages` has one byte for each page of the range.
        check(unsafe { libc::mincore(pointer(self), self.len(), pages.as_mut_ptr()) })?;
        Ok(pages.iter().map(|page| page & 1 != 0).collect())
    }

    fn relocate(self) -> io::Result<Self> {
        // A range that was just reserved is certainly free; the move replaces the reservation.
        let target = Self::anonymous(self.pages(), Protection::None)?;
        // SAFETY: Both ranges belong to objects that this function consumes.
        unsafe {
            mm::mremap_fixed(
                pointer(&self),
                self.len(),
                target.len(),
                MremapFlags::MAYMOVE,
                pointer(&target),
            )
        }?;
        // The old addresses are free and may already be in use again.
        self.into_raw();
        Ok(target)
    }

    fn grow(&mut self) -> io::Result<()> {
        let (old, length) = (pointer(self), self.len() + PAGE_SIZE);
        // SAFETY: The range belongs to this object, which takes the new address.
        let address = unsafe { mm::mremap(old, self.len(), length, MremapFlags::MAYMOVE) }?;
        take(self);
        // SAFETY: mremap has moved the whole mapping there.
        *self = unsafe { Self::from_raw(address as usize, length) };
        Ok(())
    }

    fn write_to(&self, file: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: The range belongs to this object; the kernel fails if it cannot be read.
        count(unsafe { libc::write(file.as_raw_fd(), pointer(self), self.len()) })
    }

    fn read_from(&self, file: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: The range belongs to this object and holds no Rust object.
        count(unsafe { libc::read(file.as_raw_fd(), pointer(self), self.len()) })
    }
}

/// Pipe that can take pages instead of copies of their bytes.
#[derive(Debug)]
pub struct Pipe {
    reader: File,
    writer: File,
}

impl Pipe {
    /// Makes an empty pipe.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self {
            reader: reader.into(),
            writer: writer.into(),
        })
    }

    /// Puts the pages of the mapping into the pipe by vmsplice(2); returns the number of bytes.
    pub fn take_pages(&self, mapping: &Mapping) -> io::Result<usize> {
        let range = libc::iovec {
            iov_base: pointer(mapping),
            iov_len: mapping.len(),
        };
        let fd = self.writer.as_fd().as_raw_fd();
        // SAFETY: One range is passed, which is the mapping's.
        count(unsafe { libc::vmsplice(fd, &raw const range, 1, 0) })
    }

    /// Moves `count` bytes to `file` by splice(2). A socket of TCP takes references to the pages.
    pub fn give_pages(&self, file: BorrowedFd<'_>, count: usize) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            left -= splice(&self.reader, None, file, None, left, SpliceFlags::empty())?;
        }
        Ok(())
    }

    /// Reads `count` bytes.
    pub fn read(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut data = vec![0; count];
        self.reader.read_exact(&mut data)?;
        Ok(data)
    }
}
