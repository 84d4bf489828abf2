// SPDX-License-Identifier: GPL-2.0

//! Mapped memory as a registered buffer of io_uring. The kernel pins the pages once, and works on
//! them until the buffer is given up, also after the mapping has ended.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

use io_uring::opcode::ReadFixed;
use io_uring::opcode::WriteFixed;
use io_uring::squeue::Entry;
use io_uring::types::Fd;
use io_uring::IoUring;
use xen_grants::bytes::Bytes;

/// Index of the buffer: a ring has one here.
const INDEX: u16 = 0;

/// An io_uring with one registered buffer. Dropping it gives the buffer up some time later, in the
/// background.
pub struct RegisteredBuffer {
    ring: IoUring,
    address: usize,
    length: u32,
}

impl RegisteredBuffer {
    /// Registers the pages of `memory`, which must be mapped for writing.
    ///
    /// # Errors
    ///
    /// `ENOSYS` if the kernel has no io_uring; `EFAULT` if a page is not there or not writable.
    pub fn new(memory: &Bytes) -> io::Result<Self> {
        let ring = IoUring::new(1)?;
        let range = libc::iovec {
            iov_base: memory.address() as *mut libc::c_void,
            iov_len: memory.len(),
        };
        // SAFETY: The kernel keeps the pages, not the addresses, and the pages hold no Rust object.
        unsafe { ring.submitter().register_buffers(&[range])? };
        Ok(Self {
            ring,
            address: memory.address(),
            length: memory.len() as u32,
        })
    }

    /// Writes the whole buffer to `file`; returns the number of bytes.
    pub fn write_to(&mut self, file: BorrowedFd<'_>) -> io::Result<usize> {
        let (file, address) = (Fd(file.as_raw_fd()), self.address as *const u8);
        self.complete(&WriteFixed::new(file, address, self.length, INDEX).build())
    }

    /// Reads from `file` to the whole buffer; returns the number of bytes.
    pub fn read_from(&mut self, file: BorrowedFd<'_>) -> io::Result<usize> {
        let (file, address) = (Fd(file.as_raw_fd()), self.address as *mut u8);
        self.complete(&ReadFixed::new(file, address, self.length, INDEX).build())
    }

    /// Gives the buffer up.
    pub fn unregister(self) -> io::Result<()> {
        self.ring.submitter().unregister_buffers()
    }

    /// Submits `entry` and returns its result.
    fn complete(&mut self, entry: &Entry) -> io::Result<usize> {
        // SAFETY: The entry's file is open until the result is there. Its addresses only stand for
        // the pages of the buffer, which the kernel has pinned.
        unsafe { self.ring.submission().push(entry) }.map_err(io::Error::other)?;
        self.ring.submit_and_wait(1)?;
        let completed = self.ring.completion().next();
        let result = completed
            .ok_or_else(|| io::Error::other("no result of io_uring"))?
            .result();
        usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }
}
