// SPDX-License-Identifier: GPL-2.0

//! Mapping other domains' grants through libxengnttab.

use std::ffi::c_int;
use std::ffi::c_void;
use std::io;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::ptr::NonNull;

use crate::bytes::Bytes;
use crate::dma_buf::DmaBuf;
use crate::gntdev::GrantRef;
use crate::grant_copy::RawSegment;
use crate::grant_copy::Segment;
use crate::mapping::check;
use crate::mapping::Protection;
use crate::PAGE_SIZE;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[link(name = "xengnttab")]
extern "C" {
    fn xengnttab_open(logger: *mut c_void, flags: u32) -> *mut Handle;
    fn xengnttab_close(handle: *mut Handle) -> c_int;
    fn xengnttab_fd(handle: *mut Handle) -> c_int;
    fn xengnttab_set_max_grants(handle: *mut Handle, count: u32) -> c_int;
    fn xengnttab_map_grant_ref(
        handle: *mut Handle,
        domid: u32,
        reference: u32,
        protection: c_int,
    ) -> *mut c_void;
    fn xengnttab_map_grant_refs(
        handle: *mut Handle,
        count: u32,
        domids: *mut u32,
        references: *mut u32,
        protection: c_int,
    ) -> *mut c_void;
    fn xengnttab_map_domain_grant_refs(
        handle: *mut Handle,
        count: u32,
        domid: u32,
        references: *mut u32,
        protection: c_int,
    ) -> *mut c_void;
    fn xengnttab_map_grant_ref_notify(
        handle: *mut Handle,
        domid: u32,
        reference: u32,
        protection: c_int,
        offset: u32,
        port: u32,
    ) -> *mut c_void;
    fn xengnttab_grant_copy(handle: *mut Handle, count: u32, segments: *mut RawSegment) -> c_int;
    fn xengnttab_dmabuf_exp_from_refs(
        handle: *mut Handle,
        domid: u32,
        flags: u32,
        count: u32,
        references: *const u32,
        fd: *mut u32,
    ) -> c_int;
    fn xengnttab_dmabuf_exp_wait_released(handle: *mut Handle, fd: u32, wait_ms: u32) -> c_int;
    fn xengnttab_dmabuf_imp_to_refs(
        handle: *mut Handle,
        domid: u32,
        fd: u32,
        count: u32,
        references: *mut u32,
    ) -> c_int;
    fn xengnttab_dmabuf_imp_release(handle: *mut Handle, fd: u32) -> c_int;
    fn xengnttab_unmap(handle: *mut Handle, start: *mut c_void, count: u32) -> c_int;
}

/// An open grant device, as libxengnttab holds one.
pub struct GrantTable {
    handle: NonNull<Handle>,
}

impl GrantTable {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        // SAFETY: A null logger asks for the library's default.
        let handle = unsafe { xengnttab_open(ptr::null_mut(), 0) };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { handle }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// The library's own file descriptor.
    pub fn device(&self) -> BorrowedFd<'_> {
        // SAFETY: The handle is open as long as `self` lives, and so is the
        // descriptor in it.
        unsafe { BorrowedFd::borrow_raw(xengnttab_fd(self.handle.as_ptr())) }
    }

    /// Says how many grants will be mapped at most.
    pub fn set_max_grants(&self, count: u32) -> io::Result<()> {
        // SAFETY: The handle is open.
        check(unsafe { xengnttab_set_max_grants(self.handle.as_ptr(), count) })
    }

    /// Maps one grant.
    pub fn map(&self, grant: GrantRef, protection: Protection) -> io::Result<GrantMapping<'_>> {
        // SAFETY: The handle is open.
        let start = unsafe {
            xengnttab_map_grant_ref(
                self.handle.as_ptr(),
                grant.domid,
                grant.reference,
                protection.bits(),
            )
        };
        self.mapping(start, 1)
    }

    /// Maps grants of any domains side by side.
    pub fn map_all(
        &self,
        grants: &[GrantRef],
        protection: Protection,
    ) -> io::Result<GrantMapping<'_>> {
        let mut domids: Vec<u32> = grants.iter().map(|grant| grant.domid).collect();
        let mut references: Vec<u32> = grants.iter().map(|grant| grant.reference).collect();
        // SAFETY: The handle is open; both arrays have as many entries as said.
        let start = unsafe {
            xengnttab_map_grant_refs(
                self.handle.as_ptr(),
                grants.len() as u32,
                domids.as_mut_ptr(),
                references.as_mut_ptr(),
                protection.bits(),
            )
        };
        self.mapping(start, grants.len())
    }

    /// Maps grants of one domain side by side.
    pub fn map_domain(
        &self,
        domid: u32,
        references: &[u32],
        protection: Protection,
    ) -> io::Result<GrantMapping<'_>> {
        let mut references = references.to_vec();
        // SAFETY: The handle is open; the array has as many entries as said.
        let start = unsafe {
            xengnttab_map_domain_grant_refs(
                self.handle.as_ptr(),
                references.len() as u32,
                domid,
                references.as_mut_ptr(),
                protection.bits(),
            )
        };
        self.mapping(start, references.len())
    }

    /// Maps one grant and says what is done when it is unmapped: the byte at
    /// offset `byte` is cleared, an event is sent on `port`.
    pub fn map_notify(
        &self,
        grant: GrantRef,
        protection: Protection,
        byte: Option<u32>,
        port: Option<u32>,
    ) -> io::Result<GrantMapping<'_>> {
        const NONE: u32 = u32::MAX;
        // SAFETY: The handle is open.
        let start = unsafe {
            xengnttab_map_grant_ref_notify(
                self.handle.as_ptr(),
                grant.domid,
                grant.reference,
                protection.bits(),
                byte.unwrap_or(NONE),
                port.unwrap_or(NONE),
            )
        };
        self.mapping(start, 1)
    }

    /// Copies segments and returns the status of each.
    pub fn copy(&self, segments: &[Segment<'_>]) -> io::Result<Vec<i16>> {
        let mut raw: Vec<RawSegment> = segments.iter().map(Segment::raw).collect();
        // SAFETY: The handle is open; there are as many segments as said, and
        // what they name may be written.
        check(unsafe {
            xengnttab_grant_copy(self.handle.as_ptr(), raw.len() as u32, raw.as_mut_ptr())
        })?;
        Ok(raw.iter().map(|raw| raw.status).collect())
    }

    /// Makes a dma-buf of grants of one domain.
    pub fn export(&self, flags: u32, domid: u32, references: &[u32]) -> io::Result<DmaBuf> {
        let mut fd = u32::MAX;
        // SAFETY: The handle is open; the array has as many entries as said.
        check(unsafe {
            xengnttab_dmabuf_exp_from_refs(
                self.handle.as_ptr(),
                domid,
                flags,
                references.len() as u32,
                references.as_ptr(),
                &raw mut fd,
            )
        })?;
        // SAFETY: The descriptor is new and nobody else's.
        unsafe { DmaBuf::from_answer(fd) }
    }

    /// Waits for the end of the dma-buf that was made with this number, `limit`
    /// milliseconds at most. One that the device does not know has ended.
    pub fn wait_released(&self, number: u32, limit: u32) -> io::Result<()> {
        let handle = self.handle.as_ptr();
        // SAFETY: The handle is open.
        check(unsafe { xengnttab_dmabuf_exp_wait_released(handle, number, limit) })
    }

    /// Grants the `count` pages of `buffer` to domain `domid`.
    pub fn import(&self, buffer: &DmaBuf, domid: u32, count: usize) -> io::Result<Vec<u32>> {
        let mut references = vec![0; count];
        // SAFETY: The handle is open; the array has as many entries as said.
        check(unsafe {
            xengnttab_dmabuf_imp_to_refs(
                self.handle.as_ptr(),
                domid,
                buffer.number(),
                count as u32,
                references.as_mut_ptr(),
            )
        })?;
        Ok(references)
    }

    /// Ends the grants of the dma-buf that was imported with this number.
    pub fn release_import(&self, number: u32) -> io::Result<()> {
        // SAFETY: The handle is open.
        check(unsafe { xengnttab_dmabuf_imp_release(self.handle.as_ptr(), number) })
    }

    fn mapping(&self, start: *mut c_void, pages: usize) -> io::Result<GrantMapping<'_>> {
        if start.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The library has just mapped these pages; they go with the
        // object made here.
        let bytes = unsafe { Bytes::new(start as usize, pages * PAGE_SIZE) };
        Ok(GrantMapping { table: self, bytes })
    }
}

impl Drop for GrantTable {
    fn drop(&mut self) {
        // SAFETY: The handle is open and nobody has it any more. Closing does
        // not unmap what is mapped.
        unsafe { xengnttab_close(self.handle.as_ptr()) };
    }
}

/// Grants that libxengnttab mapped; they are unmapped when dropped.
pub struct GrantMapping<'a> {
    table: &'a GrantTable,
    bytes: Bytes,
}

impl GrantMapping<'_> {
    /// Unmaps and reports how that went.
    pub fn unmap(self) -> io::Result<()> {
        let result = self.release();
        std::mem::forget(self);
        result
    }

    fn release(&self) -> io::Result<()> {
        let start = self.address() as *mut c_void;
        // SAFETY: These are pages that the same handle mapped, and nobody uses
        // them after this: both callers end the object's life.
        check(unsafe { xengnttab_unmap(self.table.handle.as_ptr(), start, self.pages() as u32) })
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
        // As for `Mapping`: a leak shows in the hypervisor's table.
        let _ = self.release();
    }
}
