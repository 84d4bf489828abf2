// SPDX-License-Identifier: GPL-2.0

//! Mapped memory that another domain may read and write at any time.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::ptr;

use crate::last_error;

/// A shared mapping of a file; it is unmapped when dropped.
///
/// No reference into it is ever handed out: who knows who writes to it. Each
/// byte is copied, once.
pub struct Mapping {
    address: *mut u8,
    length: usize,
    writable: bool,
}

impl Mapping {
    /// Maps the first `length` bytes of `file` to be read.
    pub fn read_only(file: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        Self::new(file, length, false)
    }

    /// Maps the first `length` bytes of `file` to be read and written.
    pub fn writable(file: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        Self::new(file, length, true)
    }

    fn new(file: BorrowedFd<'_>, length: usize, writable: bool) -> io::Result<Self> {
        let write = if writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: Without MAP_FIXED the kernel only takes free addresses.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | write,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(last_error("mmap"));
        }
        Ok(Self {
            address: address.cast(),
            length,
            writable,
        })
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The `count` bytes from offset `at` on, as they are now.
    pub fn read(&self, at: usize, count: usize) -> Vec<u8> {
        self.check(at, count);
        (at..at + count)
            // SAFETY: `check` has seen that the byte is in the mapping, which
            // holds no Rust object.
            .map(|at| unsafe { self.address.add(at).read_volatile() })
            .collect()
    }

    /// Writes `bytes` from offset `at` on.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        assert!(self.writable, "the mapping is read-only");
        self.check(at, bytes.len());
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: As in `read`.
            unsafe { self.address.add(at + index).write_volatile(*byte) };
        }
    }

    fn check(&self, at: usize, count: usize) {
        let end = at.checked_add(count);
        assert!(end.is_some_and(|end| end <= self.length), "out of bounds");
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: The range is this object's, and nobody uses it after this.
        unsafe { libc::munmap(self.address.cast(), self.length) };
    }
}
