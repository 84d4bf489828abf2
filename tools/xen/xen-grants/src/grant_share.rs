// SPDX-License-Identifier: GPL-2.0

//! Pages that this domain grants to others, by libxengnttab and the driver gntalloc.

use std::ffi::c_int;
use std::ffi::c_void;
use std::ops::Deref;
use std::ptr;
use std::rc::Rc;

use crate::bytes::Bytes;
use crate::error::Error;
use crate::error::Result;
use crate::sys;
use crate::PAGE_SIZE;

/// Accesses that the other domain may make to a granted page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// An open allocator of granted pages, `/dev/xen/gntalloc`.
///
/// # Examples
///
/// ```no_run
/// use xen_grants::grant_share::Access;
/// use xen_grants::grant_share::GrantShare;
/// use xen_grants::DOM0;
///
/// let pages = GrantShare::open()?.share(DOM0, 2, Access::ReadOnly)?;
/// pages.write_all(0, b"for dom0 to read");
/// println!("grant references: {:?}", pages.references());
/// # Ok::<(), xen_grants::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GrantShare {
    handle: Rc<Handle>,
}

#[derive(Debug)]
struct Handle(*mut sys::Gntshr);

impl GrantShare {
    /// Opens the allocator.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the driver gntalloc is not loaded.
    pub fn open() -> Result<Self> {
        // SAFETY: A null logger is the library's default.
        let handle = unsafe { sys::xengntshr_open(ptr::null_mut(), 0) };
        if handle.is_null() {
            return Err(Error::last("/dev/xen/gntalloc"));
        }
        Ok(Self {
            handle: Rc::new(Handle(handle)),
        })
    }

    /// Grants `pages` new pages to domain `domid`.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there are more pages than the driver's parameter `limit` allows, `ENOMEM` if
    /// there is no memory or no grant reference left.
    pub fn share(&self, domid: u32, pages: usize, access: Access) -> Result<SharedPages> {
        let mut references = vec![0; pages];
        // SAFETY: The handle is open; the array has an element for each page.
        let start = unsafe {
            sys::xengntshr_share_pages(
                self.handle.0,
                domid,
                pages as c_int,
                references.as_mut_ptr(),
                (access == Access::ReadWrite).into(),
            )
        };
        if start.is_null() {
            return Err(Error::last("xengntshr_share_pages"));
        }
        // SAFETY: The library has just mapped these pages, and the object made here unmaps them.
        let bytes = unsafe { Bytes::new(start as usize, pages * PAGE_SIZE) };
        Ok(SharedPages {
            handle: Rc::clone(&self.handle),
            bytes,
            references,
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: The handle is open, and this was its last user.
        unsafe { sys::xengntshr_close(self.0) };
    }
}

/// Granted pages of this domain. Dropping them ends the grants; a page that another domain has
/// still mapped is not used again before it is unmapped there.
#[derive(Debug)]
pub struct SharedPages {
    handle: Rc<Handle>,
    bytes: Bytes,
    references: Vec<u32>,
}

impl SharedPages {
    /// Grant reference of each page.
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
        // SAFETY: The same handle shared these pages, and nothing uses them after this.
        unsafe { sys::xengntshr_unshare(self.handle.0, start, self.pages() as u32) };
    }
}
