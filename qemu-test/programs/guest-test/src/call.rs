// SPDX-License-Identifier: GPL-2.0

//! Results of C functions that return -1 and set `errno`.

use std::ffi::c_int;
use std::io;

pub(crate) fn check(result: c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

pub(crate) fn count(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
