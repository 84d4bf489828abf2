// SPDX-License-Identifier: GPL-2.0

//! Connection to the hypervisor by libxenctrl, which only dom0 may open.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;
use std::io;
use std::ptr;
use std::ptr::NonNull;

/// `xc_interface`.
#[repr(C)]
pub(crate) struct Handle {
    _opaque: [u8; 0],
}

#[link(name = "xenctrl")]
extern "C" {
    fn xc_interface_open(
        logger: *mut c_void,
        domain_build_logger: *mut c_void,
        flags: c_uint,
    ) -> *mut Handle;
    fn xc_interface_close(handle: *mut Handle) -> c_int;
    pub(crate) fn xc_send_debug_keys(handle: *mut Handle, keys: *const c_char) -> c_int;
    pub(crate) fn xc_readconsolering(
        handle: *mut Handle,
        buffer: *mut c_char,
        length: *mut c_uint,
        clear: c_int,
        incremental: c_int,
        index: *mut u32,
    ) -> c_int;
    pub(crate) fn xc_evtchn_status(handle: *mut Handle, status: *mut c_void) -> c_int;
    pub(crate) fn xc_domain_getinfolist(
        handle: *mut Handle,
        first: u32,
        most: c_uint,
        entries: *mut c_void,
    ) -> c_int;
}

/// Open connection.
pub(crate) struct Interface {
    handle: NonNull<Handle>,
}

impl Interface {
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: Null loggers are the library's default.
        let handle = unsafe { xc_interface_open(ptr::null_mut(), ptr::null_mut(), 0) };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { handle }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// Returns the handle of the library, which is open as long as `self` lives.
    pub(crate) fn as_ptr(&self) -> *mut Handle {
        self.handle.as_ptr()
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        // SAFETY: The handle is open, and nothing uses it after this.
        unsafe { xc_interface_close(self.handle.as_ptr()) };
    }
}
