// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading kernel modules.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Loads the module in the file at `path`.
pub fn load(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // SAFETY: The file is open, and the parameters are an empty string.
    result(unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) })
}

/// Unloads the module called `name`, but does not wait for its users to go.
pub fn unload(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: The name lives long enough.
    result(unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) })
}

fn result(status: libc::c_long) -> io::Result<()> {
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
