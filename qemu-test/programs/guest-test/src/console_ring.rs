// SPDX-License-Identifier: GPL-2.0

//! Console of the hypervisor: debug keys, and its output.
//!
//! `xl debug-keys` and `xl dmesg` do the same, but a suite reads the console after every case, and
//! on an emulated machine xl takes longer to start than most cases to run.

use std::ffi::c_uint;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::ptr;

use rustix::fs::flock;
use rustix::fs::FlockOperation;

use crate::call::check;
use crate::xenctrl::xc_readconsolering;
use crate::xenctrl::xc_send_debug_keys;
use crate::xenctrl::Interface;

/// Larger than any ring that Xen allocates by itself.
const BUFFER: usize = 256 * 1024;

/// File whose lock a program holds from a key to the end of its answer. Programs run side by side,
/// and the ring is one.
const LOCK: &str = "/tmp/xen-console.lock";

/// The console of the hypervisor. Only dom0 may open it.
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

    /// Sends debug keys and returns the output of the hypervisor once it has handled them. Earlier
    /// contents of the ring are dropped, so that the output of an earlier key is not taken for that
    /// of this one.
    pub fn press(&self, keys: &CStr) -> io::Result<String> {
        let lock = File::options().create(true).append(true).open(LOCK)?;
        flock(&lock, FlockOperation::LockExclusive)?;
        self.read(true)?;
        // SAFETY: The handle is open, and the keys are valid during the call.
        check(unsafe { xc_send_debug_keys(self.interface.as_ptr(), keys.as_ptr()) })?;
        self.read(false)
    }

    fn read(&self, clear: bool) -> io::Result<String> {
        let mut buffer = vec![0u8; BUFFER];
        let mut length = BUFFER as c_uint;
        // SAFETY: The handle is open, and the buffer has this length.
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
