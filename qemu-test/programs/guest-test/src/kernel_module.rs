// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading kernel modules.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::system;

/// Loads the module in the file at `path`.
pub fn load(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    Ok(system::finit_module(&file, c"", 0)?)
}

/// Unloads the module `name`; fails if it has users.
pub fn unload(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    Ok(system::delete_module(&name, libc::O_NONBLOCK)?)
}
