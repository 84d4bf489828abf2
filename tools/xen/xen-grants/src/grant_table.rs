// SPDX-License-Identifier: GPL-2.0

//! Grants of other domains: mapping them and copying from and to them, by libxengnttab.

use std::ffi::c_void;
use std::mem;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::ptr::NonNull;

use crate::bytes::Bytes;
use crate::error::check;
use crate::error::Error;
use crate::error::Result;
use crate::grant_copy::RawSegment;
use crate::grant_copy::Segment;
use crate::mapping::Protection;
use crate::sys;
use crate::GrantRef;
use crate::PAGE_SIZE;

/// An open grant device, `/dev/xen/gntdev`.
///
/// Mappings and imports ([`import`](Self::import)) end with the table at the latest; a dma-buf that
/// was exported lives on. The table is for one thread; another one opens its own.
///
/// # Examples
///
/// ```no_run
/// use xen_grants::grant_table::GrantTable;
/// use xen_grants::mapping::Protection;
///
/// // A domain 3 has sent its references 8 and 9.
/// let table = GrantTable::open()?;
/// let pages = table.map_domain(3, &[8, 9], Protection::ReadWrite)?;
/// println!("{:?}", pages.read_vec(0, 16));
/// pages.write_all(16, b"seen");
/// pages.unmap()?;
/// # Ok::<(), xen_grants::Error>(())
/// ```
#[derive(Debug)]
pub struct GrantTable {
    handle: NonNull<sys::Gnttab>,
}

impl GrantTable {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// `ENOENT` if no driver is loaded.
    pub fn open() -> Result<Self> {
        // SAFETY: A null logger is the library's default.
        let handle = unsafe { sys::xengnttab_open(ptr::null_mut(), 0) };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { handle }),
            None => Err(Error::last("/dev/xen/gntdev")),
        }
    }

    pub(crate) fn handle(&self) -> *mut sys::Gnttab {
        self.handle.as_ptr()
    }

    /// Tells the driver the number of grants that will be mapped, where a driver wants to know.
    ///
    /// # Errors
    ///
    /// None on Linux.
    pub fn set_max_grants(&self, count: u32) -> Result<()> {
        // SAFETY: The handle is open.
        check("xengnttab_set_max_grants", unsafe {
            sys::xengnttab_set_max_grants(self.handle(), count)
        })
    }

    /// Maps one grant.
    ///
    /// # Errors
    ///
    /// Those of mmap(2); `EINVAL` if Xen refuses the grant; `ENOSPC` if Xen's table of mappings of
    /// this domain is full; `EOPNOTSUPP` for a grant of this domain itself, if it is
    /// auto-translated on x86; `ENOMEM` if there are no frames; `EINTR` if a signal comes during
    /// the first mapping of the process in a PV domain, after which the call can be repeated.
    pub fn map(&self, grant: GrantRef, protection: Protection) -> Result<GrantMapping<'_>> {
        // SAFETY: The handle is open.
        let start = unsafe {
            sys::xengnttab_map_grant_ref(
                self.handle(),
                grant.domid,
                grant.reference,
                protection.bits(),
            )
        };
        self.mapping("xengnttab_map_grant_ref", start, 1)
    }

    /// Maps grants of any domains side by side, in this order.
    ///
    /// # Errors
    ///
    /// As for [`map`](Self::map). No grant is mapped then.
    pub fn map_all(&self, grants: &[GrantRef], protection: Protection) -> Result<GrantMapping<'_>> {
        let mut domids: Vec<u32> = grants.iter().map(|grant| grant.domid).collect();
        let mut references: Vec<u32> = grants.iter().map(|grant| grant.reference).collect();
        // SAFETY: The handle is open; both arrays have `count` elements.
        let start = unsafe {
            sys::xengnttab_map_grant_refs(
                self.handle(),
                grants.len() as u32,
                domids.as_mut_ptr(),
                references.as_mut_ptr(),
                protection.bits(),
            )
        };
        self.mapping("xengnttab_map_grant_refs", start, grants.len())
    }

    /// Maps grants of domain `domid` side by side, in this order.
    ///
    /// # Errors
    ///
    /// As for [`map_all`](Self::map_all).
    pub fn map_domain(
        &self,
        domid: u32,
        references: &[u32],
        protection: Protection,
    ) -> Result<GrantMapping<'_>> {
        let mut references = references.to_vec();
        // SAFETY: The handle is open; the array has `count` elements.
        let start = unsafe {
            sys::xengnttab_map_domain_grant_refs(
                self.handle(),
                references.len() as u32,
                domid,
                references.as_mut_ptr(),
                protection.bits(),
            )
        };
        self.mapping("xengnttab_map_domain_grant_refs", start, references.len())
    }

    /// Maps one grant and has the kernel do something when it is unmapped, also because this
    /// process dies: it clears the byte at offset `byte`, and sends an event on `port` of this
    /// domain.
    ///
    /// # Errors
    ///
    /// As for [`map`](Self::map); `EINVAL` if a byte is to be cleared in a read-only mapping or the
    /// port is not this process's.
    pub fn map_notify(
        &self,
        grant: GrantRef,
        protection: Protection,
        byte: Option<u32>,
        port: Option<u32>,
    ) -> Result<GrantMapping<'_>> {
        const NONE: u32 = u32::MAX;
        // SAFETY: The handle is open.
        let start = unsafe {
            sys::xengnttab_map_grant_ref_notify(
                self.handle(),
                grant.domid,
                grant.reference,
                protection.bits(),
                byte.unwrap_or(NONE),
                port.unwrap_or(NONE),
            )
        };
        self.mapping("xengnttab_map_grant_ref_notify", start, 1)
    }

    fn mapping(
        &self,
        call: &'static str,
        start: *mut c_void,
        pages: usize,
    ) -> Result<GrantMapping<'_>> {
        if start.is_null() {
            return Err(Error::last(call));
        }
        // SAFETY: The library has just mapped these pages, and the object made here unmaps them.
        let bytes = unsafe { Bytes::new(start as usize, pages * PAGE_SIZE) };
        Ok(GrantMapping { table: self, bytes })
    }

    /// Copies segments and returns the status of each. A segment that fails does not keep the
    /// others from being copied.
    ///
    /// # Errors
    ///
    /// Those of the request as a whole: `EFAULT` for local memory that is not accessible, `EINVAL`
    /// for a segment that crosses the end of a granted page or has no grant.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use xen_grants::grant_copy::End;
    /// use xen_grants::grant_copy::Segment;
    /// use xen_grants::grant_copy::OKAY;
    /// use xen_grants::grant_table::GrantTable;
    /// use xen_grants::mapping::Mapping;
    /// use xen_grants::mapping::Protection;
    /// use xen_grants::GrantRef;
    ///
    /// let memory = Mapping::anonymous(1, Protection::ReadWrite)?;
    /// let grant = GrantRef { domid: 3, reference: 8 };
    /// let segment = Segment {
    ///     source: End::Grant(grant, 512),
    ///     destination: End::Local(&memory, 0),
    ///     length: 64,
    /// };
    /// let statuses = GrantTable::open()?.copy(&[segment])?;
    /// assert_eq!(statuses, [OKAY]);
    /// # Ok::<(), xen_grants::Error>(())
    /// ```
    pub fn copy(&self, segments: &[Segment<'_>]) -> Result<Vec<i16>> {
        let mut raw: Vec<RawSegment> = segments.iter().map(Segment::raw).collect();
        // SAFETY: The handle is open; there are `count` segments, and `raw` has seen to it that
        // their destinations may be written.
        check("xengnttab_grant_copy", unsafe {
            sys::xengnttab_grant_copy(self.handle(), raw.len() as u32, raw.as_mut_ptr())
        })?;
        Ok(raw.iter().map(RawSegment::status).collect())
    }
}

/// The device's file, for poll(2). With this project's driver it is readable (`POLLIN`) when an
/// export has been released since the last read(2), which takes eight bytes: their number.
impl AsFd for GrantTable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: The handle and the descriptor in it are open as long as `self` lives.
        unsafe { BorrowedFd::borrow_raw(sys::xengnttab_fd(self.handle())) }
    }
}

impl Drop for GrantTable {
    fn drop(&mut self) {
        // SAFETY: The handle is open, and nothing uses it after this.
        unsafe { sys::xengnttab_close(self.handle()) };
    }
}

/// Mapped grants; dropping it unmaps them.
#[derive(Debug)]
pub struct GrantMapping<'a> {
    table: &'a GrantTable,
    bytes: Bytes,
}

impl GrantMapping<'_> {
    /// Unmaps the grants, which dropping does too, and returns the result.
    ///
    /// # Errors
    ///
    /// Those of munmap(2) and of the driver.
    pub fn unmap(self) -> Result<()> {
        let result = self.release();
        mem::forget(self);
        result
    }

    fn release(&self) -> Result<()> {
        let start = self.address() as *mut c_void;
        // SAFETY: The same handle mapped these pages, and both callers end this object's life.
        check("xengnttab_unmap", unsafe {
            sys::xengnttab_unmap(self.table.handle(), start, self.pages() as u32)
        })
    }
}

impl Deref for GrantMapping<'_> {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl Drop for GrantMapping<'_> {
    fn drop(&mut self) {
        // The error cannot be returned here; `unmap` returns it.
        let _ = self.release();
    }
}
