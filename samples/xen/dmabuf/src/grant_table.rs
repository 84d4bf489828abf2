// SPDX-License-Identifier: GPL-2.0

//! The four calls of libxengnttab that turn grants into dma-bufs and dma-bufs
//! into grants.

use std::ffi::c_int;
use std::ffi::c_void;
use std::io;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::ptr;
use std::ptr::NonNull;
use std::time::Duration;

use crate::buffer::ClosedNumber;
use crate::buffer::DmaBuf;
use crate::last_error;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[link(name = "xengnttab")]
extern "C" {
    fn xengnttab_open(logger: *mut c_void, flags: u32) -> *mut Handle;
    fn xengnttab_close(handle: *mut Handle) -> c_int;
    fn xengnttab_dmabuf_exp_from_refs(
        handle: *mut Handle,
        domid: u32,
        flags: u32,
        count: u32,
        references: *const u32,
        number: *mut u32,
    ) -> c_int;
    fn xengnttab_dmabuf_exp_wait_released(
        handle: *mut Handle,
        number: u32,
        milliseconds: u32,
    ) -> c_int;
    fn xengnttab_dmabuf_imp_to_refs(
        handle: *mut Handle,
        domid: u32,
        number: u32,
        count: u32,
        references: *mut u32,
    ) -> c_int;
    fn xengnttab_dmabuf_imp_release(handle: *mut Handle, number: u32) -> c_int;
}

/// Ordinary memory, neither write-combined nor from a DMA pool.
const ORDINARY_FRAMES: u32 = 0;

/// An open grant device. What it has exported lives on when it is closed; what
/// it has imported ends.
pub struct GrantTable {
    handle: NonNull<Handle>,
}

impl GrantTable {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        // SAFETY: A null logger asks for the library's default.
        match NonNull::new(unsafe { xengnttab_open(ptr::null_mut(), 0) }) {
            Some(handle) => Ok(Self { handle }),
            None => Err(last_error("/dev/xen/gntdev")),
        }
    }

    /// Makes a dma-buf of the pages that domain `domid` granted.
    pub fn export(&self, domid: u32, references: &[u32]) -> io::Result<DmaBuf> {
        let mut number = 0;
        // SAFETY: The handle is open; there are as many references as said.
        check("dmabuf_exp_from_refs", unsafe {
            xengnttab_dmabuf_exp_from_refs(
                self.handle.as_ptr(),
                domid,
                ORDINARY_FRAMES,
                references.len() as u32,
                references.as_ptr(),
                &raw mut number,
            )
        })?;
        // SAFETY: The kernel has just opened it, for nobody else.
        let file = unsafe { OwnedFd::from_raw_fd(number as c_int) };
        Ok(DmaBuf::new(file, references.len()))
    }

    /// Waits until nobody uses the export any more and its grants are
    /// unmapped: only then may the granter reuse the pages.
    pub fn wait_released(&self, number: ClosedNumber, limit: Duration) -> io::Result<()> {
        let milliseconds = limit.as_millis().min(u32::MAX.into()) as u32;
        // SAFETY: The handle is open.
        check("dmabuf_exp_wait_released", unsafe {
            xengnttab_dmabuf_exp_wait_released(self.handle.as_ptr(), number.0, milliseconds)
        })
    }

    /// Grants the pages of `buffer` to domain `domid`.
    pub fn import<'a>(&'a self, domid: u32, buffer: &'a DmaBuf) -> io::Result<Import<'a>> {
        let mut references = vec![0; buffer.pages()];
        // SAFETY: The handle is open; there is room for as many references as
        // said.
        check("dmabuf_imp_to_refs", unsafe {
            xengnttab_dmabuf_imp_to_refs(
                self.handle.as_ptr(),
                domid,
                buffer.number(),
                references.len() as u32,
                references.as_mut_ptr(),
            )
        })?;
        Ok(Import {
            table: self,
            buffer,
            references,
        })
    }
}

impl Drop for GrantTable {
    fn drop(&mut self) {
        // SAFETY: The handle is open and nobody has it any more.
        unsafe { xengnttab_close(self.handle.as_ptr()) };
    }
}

/// A dma-buf whose pages are granted. The grants end with [`Import::release`],
/// at the latest with the [`GrantTable`].
pub struct Import<'a> {
    table: &'a GrantTable,
    buffer: &'a DmaBuf,
    references: Vec<u32>,
}

impl Import<'_> {
    /// The grant reference of each page.
    pub fn references(&self) -> &[u32] {
        &self.references
    }

    /// Ends the grants. The other domain should have let go of them before.
    pub fn release(self) -> io::Result<()> {
        // SAFETY: The handle is open.
        check("dmabuf_imp_release", unsafe {
            xengnttab_dmabuf_imp_release(self.table.handle.as_ptr(), self.buffer.number())
        })
    }
}

fn check(what: &str, result: c_int) -> io::Result<()> {
    if result < 0 {
        return Err(last_error(what));
    }
    Ok(())
}
