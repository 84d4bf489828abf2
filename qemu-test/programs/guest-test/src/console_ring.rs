// SPDX-License-Identifier: GPL-2.0

//! The hypervisor's console: debug keys, and what it prints.
//!
//! `xl debug-keys` and `xl dmesg` do the same, but a suite asks after every
//! case, and starting them takes an emulated machine longer than most cases.

use std::ffi::c_uint;
use std::ffi::CStr;
use std::io;
use std::ptr;

use crate::call::check;
use crate::xenctrl::xc_readconsolering;
use crate::xenctrl::xc_send_debug_keys;
use crate::xenctrl::Interface;

/// More than any ring that Xen allocates by itself.
const BUFFER: usize = 256 * 1024;

/// The hypervisor's console. Only dom0 may open it.
pub struct ConsoleRing {
    interface: Interface,
}

impl ConsoleRing {
    /// Connects to the hypervisor.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            interface: Interface::open()?,
        })
    }

    /// Presses debug keys and returns what the hypervisor has printed when it
    /// has dealt with them. What was in the ring before is dropped: an older
    /// answer must not be taken for this one.
    pub fn press(&self, keys: &CStr) -> io::Result<String> {
        self.read(true)?;
        // SAFETY: The handle is open, and the keys live long enough.
        check(unsafe { xc_send_debug_keys(self.interface.as_ptr(), keys.as_ptr()) })?;
        self.read(false)
    }

    fn read(&self, clear: bool) -> io::Result<String> {
        let mut buffer = vec![0u8; BUFFER];
        let mut length = BUFFER as c_uint;
        // SAFETY: The handle is open, and the buffer has the length said.
        check(unsafe {
            xc_readconsolering(
                self.interface.as_ptr(),
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
