// SPDX-License-Identifier: GPL-2.0

//! Mappings of files, devices and dma-bufs.

use std::mem;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::ptr;

use rustix::mm;
use rustix::mm::MapFlags;
use rustix::mm::ProtFlags;

use crate::bytes::Bytes;
use crate::error::Error;
use crate::error::Result;
use crate::PAGE_SIZE;

/// Accesses that a mapping allows to its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// None: the addresses are only reserved.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

impl Protection {
    /// The `PROT_` bits of mmap(2).
    pub fn bits(self) -> i32 {
        self.flags().bits() as i32
    }

    fn flags(self) -> ProtFlags {
        match self {
            Self::None => ProtFlags::empty(),
            Self::Read => ProtFlags::READ,
            Self::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        }
    }
}

/// Mapping of whole pages; dropping it unmaps them.
///
/// # Examples
///
/// ```
/// use xen_grants::mapping::Mapping;
/// use xen_grants::mapping::Protection;
/// use xen_grants::PAGE_SIZE;
///
/// let memory = Mapping::anonymous(2, Protection::ReadWrite)?;
/// memory.write_all(PAGE_SIZE, b"second page");
/// assert_eq!(memory.read_vec(PAGE_SIZE, 6), b"second");
/// # Ok::<(), xen_grants::Error>(())
/// ```
#[derive(Debug)]
pub struct Mapping {
    bytes: Bytes,
}

impl Mapping {
    /// Maps `pages` pages of `file` from byte `offset` on. All mappings of the file see what is
    /// written to one (`MAP_SHARED`).
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn of_file(
        file: impl AsFd,
        offset: u64,
        pages: usize,
        protection: Protection,
    ) -> Result<Self> {
        let length = pages * PAGE_SIZE;
        // SAFETY: Without a fixed address the kernel only uses free ones.
        let address = unsafe {
            mm::mmap(
                ptr::null_mut(),
                length,
                protection.flags(),
                MapFlags::SHARED,
                file,
                offset,
            )
        };
        Self::mapped(address, length)
    }

    /// Maps `pages` pages of zeroes that belong to this process alone, such as for the local end of
    /// a grant copy.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn anonymous(pages: usize, protection: Protection) -> Result<Self> {
        let length = pages * PAGE_SIZE;
        // SAFETY: As in `of_file`.
        let address = unsafe {
            mm::mmap_anonymous(
                ptr::null_mut(),
                length,
                protection.flags(),
                MapFlags::PRIVATE,
            )
        };
        Self::mapped(address, length)
    }

    fn mapped(address: rustix::io::Result<*mut std::ffi::c_void>, length: usize) -> Result<Self> {
        let address = address.map_err(|error| Error::new("mmap", error))?;
        // SAFETY: The mapping is new, and this object its only owner.
        Ok(unsafe { Self::from_raw(address as usize, length) })
    }

    /// Takes over the mapping of the `length` bytes at `address`.
    ///
    /// # Safety
    ///
    /// The range must be mapped, hold no Rust object and have no other owner.
    pub unsafe fn from_raw(address: usize, length: usize) -> Self {
        // SAFETY: The range stays mapped until this object is dropped.
        let bytes = unsafe { Bytes::new(address, length) };
        Self { bytes }
    }

    /// Gives up the mapping without unmapping it, and returns its address and length.
    pub fn into_raw(self) -> (usize, usize) {
        let range = (self.address(), self.len());
        mem::forget(self);
        range
    }

    /// Unmaps the pages, which dropping does too, and returns the result.
    ///
    /// # Errors
    ///
    /// Those of munmap(2).
    pub fn unmap(self) -> Result<()> {
        let result = self.munmap();
        mem::forget(self);
        result
    }

    fn munmap(&self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        // SAFETY: The pages are this object's, and both callers end its life.
        unsafe { mm::munmap(self.address() as *mut _, self.len()) }
            .map_err(|error| Error::new("munmap", error))
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
        // The error cannot be returned here; `unmap` returns it.
        let _ = self.munmap();
    }
}
