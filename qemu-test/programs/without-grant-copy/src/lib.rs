// SPDX-License-Identifier: GPL-2.0

//! Preloaded into QEMU (`LD_PRELOAD`), makes libxengnttab say that there is no
//! grant copy. QEMU tries it once when it starts; if it fails, its back ends map
//! each request's grants instead, which is the other half of what they can do.

use std::ffi::c_int;
use std::ffi::c_void;
use std::fs;

/// File that is created when a program calls xengnttab_grant_copy() and is refused.
const ASKED: &str = "/run/grant-copy-denied";

/// Takes the place of the library's function.
#[no_mangle]
pub extern "C" fn xengnttab_grant_copy(
    _handle: *mut c_void,
    _count: u32,
    _segments: *mut c_void,
) -> c_int {
    // Without the file the suite fails, which is all that an error can mean.
    let _ = fs::write(ASKED, "");
    -1
}
