// SPDX-License-Identifier: GPL-2.0

//! State of open files.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use rustix::fs::OFlags;
use rustix::io::FdFlags;
use rustix::ioctl;
use rustix::ioctl::Setter;

/// Questions about an open file.
pub trait Inspect: AsFd {
    /// True if execve(2) closes the descriptor.
    fn is_closed_on_exec(&self) -> io::Result<bool> {
        Ok(rustix::io::fcntl_getfd(self)?.contains(FdFlags::CLOEXEC))
    }

    /// True if the file was opened for reading and writing.
    fn is_writable(&self) -> io::Result<bool> {
        Ok(rustix::fs::fcntl_getfl(self)? & OFlags::RWMODE == OFlags::RDWR)
    }

    /// lseek(2).
    fn seek(&self, to: SeekFrom) -> io::Result<u64> {
        let mut file = File::from(self.as_fd().try_clone_to_owned()?);
        Seek::seek(&mut file, to)
    }

    /// fstat(2).
    fn metadata(&self) -> io::Result<fs::Metadata> {
        File::from(self.as_fd().try_clone_to_owned()?).metadata()
    }

    /// Contents of the file's entry in /proc/self/fdinfo.
    fn fdinfo(&self) -> io::Result<String> {
        fs::read_to_string(format!("/proc/self/fdinfo/{}", self.as_fd().as_raw_fd()))
    }
}

impl<T: AsFd> Inspect for T {}

/// `DMA_BUF_IOCTL_SYNC` with any flags.
pub fn synchronize(buffer: impl AsFd, flags: u64) -> io::Result<()> {
    const SYNC: ioctl::Opcode = ioctl::opcode::write::<u64>(b'b', 0);
    // SAFETY: The argument of this request is one u64, which the kernel only reads.
    unsafe { ioctl::ioctl(buffer, Setter::<SYNC, u64>::new(flags)) }?;
    Ok(())
}
