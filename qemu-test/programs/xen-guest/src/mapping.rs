// SPDX-License-Identifier: GPL-2.0

//! Memory mappings, and the system calls that change them.

use std::fs::File;
use std::io;
use std::io::Read;
use std::mem;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::ptr;

use crate::bytes::Bytes;
use crate::PAGE_SIZE;

/// What a mapping lets its process do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
}

impl Protection {
    /// As the PROT_ bits of mmap(2).
    pub fn bits(self) -> i32 {
        match self {
            Self::None => libc::PROT_NONE,
            Self::Read => libc::PROT_READ,
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

/// Whether others see what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They do.
    Shared,
    /// They do not: the first write makes a copy.
    Private,
}

/// A mapping of whole pages; it is unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    bytes: Bytes,
}

impl Mapping {
    /// Maps `pages` pages of `file` from byte `offset` on.
    pub fn of_file(
        file: BorrowedFd<'_>,
        offset: u64,
        pages: usize,
        protection: Protection,
        sharing: Sharing,
    ) -> io::Result<Self> {
        let sharing = match sharing {
            Sharing::Shared => libc::MAP_SHARED,
            Sharing::Private => libc::MAP_PRIVATE,
        };
        Self::map(pages, protection, sharing, file.as_raw_fd(), offset)
    }

    /// Puts pages of `file` from byte `offset` on in the place of this mapping.
    pub fn replaced_by_file(
        self,
        file: BorrowedFd<'_>,
        offset: u64,
        protection: Protection,
    ) -> io::Result<Self> {
        // SAFETY: The range is this object's, and holds no Rust object.
        let address = unsafe {
            libc::mmap64(
                self.pointer(),
                self.len(),
                protection.bits(),
                libc::MAP_SHARED | libc::MAP_FIXED,
                file.as_raw_fd(),
                offset as i64,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(self)
    }

    /// Maps `pages` pages of fresh memory.
    pub fn anonymous(pages: usize, protection: Protection) -> io::Result<Self> {
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Self::map(pages, protection, kind, -1, 0)
    }

    /// Maps `pages` pages of fresh memory that child processes share.
    pub fn shared(pages: usize) -> io::Result<Self> {
        let kind = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        Self::map(pages, Protection::ReadWrite, kind, -1, 0)
    }

    fn map(
        pages: usize,
        protection: Protection,
        flags: i32,
        fd: i32,
        offset: u64,
    ) -> io::Result<Self> {
        let length = pages * PAGE_SIZE;
        // SAFETY: Without MAP_FIXED the kernel only takes free addresses.
        let address = unsafe {
            libc::mmap64(
                ptr::null_mut(),
                length,
                protection.bits(),
                flags,
                fd,
                offset as i64,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The mapping is new and ends only with this object.
        let bytes = unsafe { Bytes::new(address as usize, length) };
        Ok(Self { bytes })
    }

    /// Cuts the mapping before page `page`; what follows is returned.
    pub fn split_off(&mut self, page: usize) -> Self {
        let at = page * PAGE_SIZE;
        assert!(at <= self.len());
        // SAFETY: The part leaves `self` with the next statement.
        let rest = unsafe { Bytes::new(self.address() + at, self.len() - at) };
        self.bytes.truncate(at);
        Self { bytes: rest }
    }

    /// Takes back what [`Self::split_off`] cut off.
    pub fn join(&mut self, rest: Self) {
        assert_eq!(rest.address(), self.address() + self.len());
        let length = self.len() + rest.len();
        mem::forget(rest);
        // SAFETY: Both parts are this object's now.
        self.bytes = unsafe { Bytes::new(self.address(), length) };
    }

    /// Unmaps everything and reports how that went.
    pub fn unmap(self) -> io::Result<()> {
        let result = self.munmap();
        mem::forget(self);
        result
    }

    fn munmap(&self) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        // SAFETY: The pages are this object's and nobody uses them after this:
        // both callers end its life.
        check(unsafe { libc::munmap(self.pointer(), self.len()) })
    }

    fn pointer(&self) -> *mut libc::c_void {
        self.address() as *mut libc::c_void
    }

    /// Changes what the process may do: mprotect(2).
    pub fn protect(&self, protection: Protection) -> io::Result<()> {
        // SAFETY: The pages hold no Rust object, so no reference depends on
        // their protection.
        check(unsafe { libc::mprotect(self.pointer(), self.len(), protection.bits()) })
    }

    /// Lets go of the page-table entries: madvise(2) with MADV_DONTNEED.
    pub fn discard(&self) -> io::Result<()> {
        // SAFETY: As in `protect`.
        check(unsafe { libc::madvise(self.pointer(), self.len(), libc::MADV_DONTNEED) })
    }

    /// Per page, whether it is in memory: mincore(2).
    pub fn residency(&self) -> io::Result<Vec<bool>> {
        let mut pages = vec![0u8; self.pages()];
        // SAFETY: `pages` has one byte for each page asked about.
        check(unsafe { libc::mincore(self.pointer(), self.len(), pages.as_mut_ptr()) })?;
        Ok(pages.iter().map(|page| page & 1 != 0).collect())
    }

    /// Moves the mapping to other addresses: mremap(2).
    pub fn relocate(self) -> io::Result<Self> {
        // A place that is free for sure is one that was just reserved; the
        // move replaces the reservation.
        let target = Self::anonymous(self.pages(), Protection::None)?;
        // SAFETY: Both ranges belong to objects that this function consumes.
        let address = unsafe {
            libc::mremap(
                self.pointer(),
                self.len(),
                target.len(),
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                target.pointer(),
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // The old addresses are free and may already be somebody else's.
        mem::forget(self);
        Ok(target)
    }

    /// Asks for one page more at the end: mremap(2).
    pub fn grow(&mut self) -> io::Result<()> {
        let length = self.len() + PAGE_SIZE;
        // SAFETY: The range is this object's, which takes the new address.
        let address =
            unsafe { libc::mremap(self.pointer(), self.len(), length, libc::MREMAP_MAYMOVE) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: mremap moved the whole mapping there.
        self.bytes = unsafe { Bytes::new(address as usize, length) };
        Ok(())
    }
}

/// System calls that move data between a file and the mapping. The kernel
/// itself touches the pages, not this process.
impl Mapping {
    /// write(2) of the whole mapping; returns how many bytes were taken.
    pub fn write_to(&self, file: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: The range is this object's; what cannot be read is an error.
        count(unsafe { libc::write(file.as_raw_fd(), self.pointer(), self.len()) })
    }

    /// read(2) to the whole mapping; returns how many bytes came.
    pub fn read_from(&self, file: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: The range is this object's and holds no Rust object.
        count(unsafe { libc::read(file.as_raw_fd(), self.pointer(), self.len()) })
    }
}

/// A pipe that can take pages instead of copies of their bytes.
#[derive(Debug)]
pub struct Pipe {
    reader: File,
    writer: File,
}

impl Pipe {
    /// A new, empty one.
    pub fn new() -> io::Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: The array has room for both ends.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
        // SAFETY: Both are open and nobody else's.
        let [reader, writer] = ends.map(|end| unsafe { File::from_raw_fd(end) });
        Ok(Self { reader, writer })
    }

    /// vmsplice(2): puts the mapping's pages into the pipe; returns how many
    /// bytes those are.
    pub fn take_pages(&self, mapping: &Mapping) -> io::Result<usize> {
        let range = libc::iovec {
            iov_base: mapping.pointer(),
            iov_len: mapping.len(),
        };
        let fd = self.writer.as_raw_fd();
        // SAFETY: One range is passed, which is the mapping's.
        count(unsafe { libc::vmsplice(fd, &raw const range, 1, 0) })
    }

    /// Reads `count` bytes.
    pub fn read(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut data = vec![0; count];
        self.reader.read_exact(&mut data)?;
        Ok(data)
    }
}

impl Deref for Mapping {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Nothing can be done about an error, and a leak of grants is found by
        // the suites' look at the hypervisor's table.
        let _ = self.munmap();
    }
}

pub(crate) fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

pub(crate) fn count(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
