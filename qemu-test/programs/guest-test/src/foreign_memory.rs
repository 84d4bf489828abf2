// SPDX-License-Identifier: GPL-2.0

//! Memory of another domain, mapped by libxenforeignmemory, which only dom0 may do.

use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;
use std::io;
use std::ptr;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU32;

use xen_grants::PAGE_SIZE;

/// `xenforeignmemory_handle`.
#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[link(name = "xenforeignmemory")]
extern "C" {
    fn xenforeignmemory_open(logger: *mut c_void, flags: c_uint) -> *mut Handle;
    fn xenforeignmemory_close(handle: *mut Handle) -> c_int;
    fn xenforeignmemory_map(
        handle: *mut Handle,
        domid: u32,
        protection: c_int,
        pages: usize,
        frames: *const u64,
        errors: *mut c_int,
    ) -> *mut c_void;
    fn xenforeignmemory_unmap(handle: *mut Handle, address: *mut c_void, pages: usize) -> c_int;
}

/// An open connection to the hypervisor for such mappings.
#[derive(Debug)]
pub struct ForeignMemory {
    handle: NonNull<Handle>,
}

impl ForeignMemory {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        // SAFETY: A null logger is the library's default.
        let handle = unsafe { xenforeignmemory_open(ptr::null_mut(), 0) };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { handle }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// Maps the frames `gfns` of domain `domid`, to be read and written. Frames that the domain
    /// does not have are left out of [`ForeignPages::present`].
    pub fn map(&self, domid: u32, gfns: &[u64]) -> io::Result<ForeignPages<'_>> {
        let mut errors = vec![0; gfns.len()];
        // SAFETY: The handle is open, and both arrays have an element for each page.
        let address = unsafe {
            xenforeignmemory_map(
                self.handle.as_ptr(),
                domid,
                libc::PROT_READ | libc::PROT_WRITE,
                gfns.len(),
                gfns.as_ptr(),
                errors.as_mut_ptr(),
            )
        };
        let address = NonNull::new(address).ok_or_else(io::Error::last_os_error)?;
        Ok(ForeignPages {
            memory: self,
            address: address.cast(),
            errors,
        })
    }
}

impl Drop for ForeignMemory {
    fn drop(&mut self) {
        // SAFETY: The handle is open, and all mappings borrowed it.
        unsafe { xenforeignmemory_close(self.handle.as_ptr()) };
    }
}

/// Mapped frames of another domain.
#[derive(Debug)]
pub struct ForeignPages<'a> {
    memory: &'a ForeignMemory,
    address: NonNull<AtomicU32>,
    errors: Vec<c_int>,
}

impl ForeignPages<'_> {
    /// Indices of the pages that are mapped.
    pub fn present(&self) -> impl Iterator<Item = usize> + '_ {
        let mapped = |index: &usize| self.errors[*index] == 0;
        (0..self.errors.len()).filter(mapped)
    }

    /// Words of the page with this index, which the other domain may change at any time.
    ///
    /// # Panics
    ///
    /// If the page is not mapped.
    pub fn words(&self, index: usize) -> &[AtomicU32] {
        assert_eq!(self.errors[index], 0, "page {index} is not mapped");
        const WORDS: usize = PAGE_SIZE / size_of::<AtomicU32>();
        // SAFETY: The page is mapped as long as `self` lives, and has so many words. They are
        // accessed by atomic operations only, and any value is valid.
        unsafe { slice::from_raw_parts(self.address.as_ptr().add(index * WORDS), WORDS) }
    }
}

impl Drop for ForeignPages<'_> {
    fn drop(&mut self) {
        let (handle, address) = (self.memory.handle.as_ptr(), self.address.as_ptr().cast());
        // SAFETY: The mapping is of this handle and size, and nobody has it any more.
        unsafe { xenforeignmemory_unmap(handle, address, self.errors.len()) };
    }
}
