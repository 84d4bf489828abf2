// SPDX-License-Identifier: GPL-2.0

//! Granting pages of our own to other domains, through libxengnttab.

use std::ffi::c_int;
use std::ffi::c_void;
use std::io;
use std::ops::Deref;
use std::ptr;
use std::rc::Rc;

use crate::bytes::Bytes;
use crate::PAGE_SIZE;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[link(name = "xengnttab")]
extern "C" {
    fn xengntshr_open(logger: *mut c_void, flags: u32) -> *mut Handle;
    fn xengntshr_close(handle: *mut Handle) -> c_int;
    fn xengntshr_share_pages(
        handle: *mut Handle,
        domid: u32,
        count: c_int,
        references: *mut u32,
        writable: c_int,
    ) -> *mut c_void;
    fn xengntshr_unshare(handle: *mut Handle, start: *mut c_void, count: u32) -> c_int;
}

/// What the other domain may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    ReadOnly,
    /// Read and write it.
    ReadWrite,
}

/// An open allocator of granted pages.
#[derive(Clone)]
pub struct GrantShare {
    handle: Rc<OwnedHandle>,
}

struct OwnedHandle(*mut Handle);

impl GrantShare {
    /// Opens the allocator.
    pub fn open() -> io::Result<Self> {
        // SAFETY: A null logger asks for the library's default.
        let handle = unsafe { xengntshr_open(ptr::null_mut(), 0) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            handle: Rc::new(OwnedHandle(handle)),
        })
    }

    /// Grants `pages` fresh pages to domain `domid`.
    pub fn share(&self, domid: u32, pages: usize, access: Access) -> io::Result<SharedPages> {
        let mut references = vec![0; pages];
        // SAFETY: The handle is open; the array has one entry for each page.
        let start = unsafe {
            xengntshr_share_pages(
                self.handle.0,
                domid,
                pages as c_int,
                references.as_mut_ptr(),
                (access == Access::ReadWrite).into(),
            )
        };
        if start.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The library has just mapped these pages; they go with the
        // object made here.
        let bytes = unsafe { Bytes::new(start as usize, pages * PAGE_SIZE) };
        Ok(SharedPages {
            handle: Rc::clone(&self.handle),
            bytes,
            references,
        })
    }
}

impl Drop for OwnedHandle {
    fn drop(&mut self) {
        // SAFETY: The handle is open, and this is its last user.
        unsafe { xengntshr_close(self.0) };
    }
}

/// Pages of ours that another domain may map; the grants end with it.
pub struct SharedPages {
    handle: Rc<OwnedHandle>,
    bytes: Bytes,
    references: Vec<u32>,
}

impl SharedPages {
    /// The grant reference of each page.
    pub fn references(&self) -> &[u32] {
        &self.references
    }
}

impl Deref for SharedPages {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        let start = self.address() as *mut c_void;
        // SAFETY: The same handle shared these pages, and nobody uses them
        // after this.
        unsafe { xengntshr_unshare(self.handle.0, start, self.pages() as u32) };
    }
}
