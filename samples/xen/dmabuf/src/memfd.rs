// SPDX-License-Identifier: GPL-2.0

//! Memory of this program that is a dma-buf too: a memfd, by way of
//! `/dev/udmabuf`.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use crate::buffer::DmaBuf;
use crate::ioctl;
use crate::ioctl::Request;
use crate::last_error;
use crate::mapping::Mapping;
use crate::named;
use crate::PAGE_SIZE;

/// `struct udmabuf_create`.
#[repr(C)]
struct UdmabufCreate {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

const UDMABUF: &str = "/dev/udmabuf";
const UDMABUF_CREATE: Request = ioctl::to_kernel::<UdmabufCreate>("UDMABUF_CREATE", b'u', 0x42);
const UDMABUF_FLAGS_CLOEXEC: u32 = 1;

/// Memory that can be written here and shared as a dma-buf.
pub struct Memory {
    mapping: Mapping,
    buffer: DmaBuf,
}

impl Memory {
    /// `pages` pages of zeroes.
    pub fn new(pages: usize) -> io::Result<Self> {
        let size = pages * PAGE_SIZE;
        let memfd = memfd(size)?;
        let mapping = Mapping::writable(memfd.as_fd(), size)?;
        let mut argument = UdmabufCreate {
            memfd: memfd.as_raw_fd() as u32,
            flags: UDMABUF_FLAGS_CLOEXEC,
            offset: 0,
            size: size as u64,
        };
        let device = OpenOptions::new().read(true).write(true).open(UDMABUF);
        let device = device.map_err(|error| named(UDMABUF, error))?;
        // SAFETY: The argument is what this request wants, without addresses.
        let number = unsafe { ioctl::call(device.as_fd(), UDMABUF_CREATE, &mut argument) }?;
        // SAFETY: The kernel has just opened it, for nobody else.
        let file = unsafe { OwnedFd::from_raw_fd(number) };
        Ok(Self {
            mapping,
            buffer: DmaBuf::new(file, pages),
        })
    }

    /// The memory as a dma-buf.
    pub fn buffer(&self) -> &DmaBuf {
        &self.buffer
    }
}

impl Deref for Memory {
    type Target = Mapping;

    fn deref(&self) -> &Mapping {
        &self.mapping
    }
}

/// A memfd of `size` bytes that can never become smaller: while a device uses
/// its pages nobody may take them away.
fn memfd(size: usize) -> io::Result<File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: The name is a string with a zero at its end.
    let number = unsafe { libc::memfd_create(c"shared with another domain".as_ptr(), flags) };
    if number < 0 {
        return Err(last_error("memfd_create"));
    }
    // SAFETY: The kernel has just opened it, for nobody else.
    let file = unsafe { File::from_raw_fd(number) };
    file.set_len(size as u64)?;
    // SAFETY: Takes no address.
    if unsafe { libc::fcntl(number, libc::F_ADD_SEALS, libc::F_SEAL_SHRINK) } < 0 {
        return Err(last_error("F_ADD_SEALS"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_kernel_s_number() {
        assert_eq!(UDMABUF_CREATE.number, 0x4018_7542);
    }

    #[test]
    fn a_memfd_keeps_its_size() {
        let file = memfd(2 * PAGE_SIZE).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 2 * PAGE_SIZE as u64);
        assert!(file.set_len(PAGE_SIZE as u64).is_err());
        let mapping = Mapping::writable(file.as_fd(), PAGE_SIZE).unwrap();
        mapping.write(PAGE_SIZE - 2, b"xy");
        assert_eq!(mapping.read(PAGE_SIZE - 3, 3), b"\0xy");
    }
}
