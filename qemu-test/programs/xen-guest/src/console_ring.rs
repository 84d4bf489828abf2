// SPDX-License-Identifier: GPL-2.0

//! The hypervisor's console: debug keys, and what it prints.
//!
//! `xl debug-keys` and `xl dmesg` do the same, but a suite asks after every
//! case, and starting them takes an emulated machine longer than most cases.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;
use std::ffi::CStr;
use std::io;
use std::ptr;
use std::ptr::NonNull;

use crate::mapping::check;

#[repr(C)]
struct Handle {
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
    fn xc_send_debug_keys(handle: *mut Handle, keys: *const c_char) -> c_int;
    fn xc_readconsolering(
        handle: *mut Handle,
        buffer: *mut c_char,
        length: *mut c_uint,
        clear: c_int,
        incremental: c_int,
        index: *mut u32,
    ) -> c_int;
}

/// More than any ring that Xen allocates by itself.
const BUFFER: usize = 256 * 1024;

/// The hypervisor's console. Only dom0 may open it.
pub struct ConsoleRing {
    handle: NonNull<Handle>,
}

impl ConsoleRing {
    /// Connects to the hypervisor.
    pub fn open() -> io::Result<Self> {
        // SAFETY: Null loggers ask for the library's default.
        let handle = unsafe { xc_interface_open(ptr::null_mut(), ptr::null_mut(), 0) };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { handle }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// Presses debug keys and returns what the hypervisor has printed when it
    /// has dealt with them. What was in the ring before is dropped: an older
    /// answer must not be taken for this one.
    pub fn press(&self, keys: &CStr) -> io::Result<String> {
        self.read(true)?;
        // SAFETY: The handle is open, and the keys live long enough.
        check(unsafe { xc_send_debug_keys(self.handle.as_ptr(), keys.as_ptr()) })?;
        self.read(false)
    }

    fn read(&self, clear: bool) -> io::Result<String> {
        let mut buffer = vec![0u8; BUFFER];
        let mut length = BUFFER as c_uint;
        // SAFETY: The handle is open, and the buffer has the length said.
        check(unsafe {
            xc_readconsolering(
                self.handle.as_ptr(),
                buffer.as_mut_ptr().cast(),
                &raw mut length,
                clear.into(),
                0,
                ptr::null_mut(),
            )
        })?;
        buffer.truncate(length as usize);
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
}

impl Drop for ConsoleRing {
    fn drop(&mut self) {
        // SAFETY: The handle is open and nobody has it any more.
        unsafe { xc_interface_close(self.handle.as_ptr()) };
    }
}
