// SPDX-License-Identifier: GPL-2.0

//! Read-only files in folders of debugfs that others may have created.
//!
//! The kernel crate's `Dir` always creates its folder. If the folder exists already, that fails,
//! and no file in it is created either, without an error.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h).

use crate::xen::bindings;
use kernel::{
    prelude::*,
    seq_file::SeqFile, //
};

/// Contents of a file.
pub(crate) trait Show {
    /// Prints the contents. Called for each read of the file from its start, in task context; may
    /// sleep.
    fn show(seq: &SeqFile);
}

/// File that can be read by all who may enter debugfs, by default root alone. Dropping it removes
/// the file, and the folder with all that is in it if [`Self::new`] created the folder; waits for
/// reads in progress. While the file is open the module cannot be unloaded.
///
/// # Invariants
///
/// `entry` is an entry of debugfs that this value owns, or an error pointer or null if there is
/// none.
pub(crate) struct File {
    entry: *mut bindings::dentry,
}

// SAFETY: Entries of debugfs may be removed by any thread.
unsafe impl Send for File {}
// SAFETY: A `&File` gives access to nothing.
unsafe impl Sync for File {}

impl File {
    /// Creates the file `name` in `folder` of the root of debugfs, with contents by `T`. If that is
    /// not possible, or the kernel has no debugfs, there is no file and no error: nothing may
    /// depend on debugfs. May sleep.
    ///
    /// The module must drop the value before it is unloaded: the entry refers to its code.
    pub(crate) fn new<T: Show>(folder: &CStr, name: &CStr) -> Self {
        // INVARIANT: The function returns an entry that belongs to the caller, or an error.
        // SAFETY: The names are valid strings, which the function copies. `show()` is called as it
        // requires, by `seq_read()`.
        let entry = unsafe {
            bindings::xen_rust_debugfs_create_file(
                folder.as_char_ptr(),
                name.as_char_ptr(),
                Some(show::<T>),
            )
        };
        Self { entry }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; the function ignores errors and null.
        unsafe { bindings::xen_rust_debugfs_remove(self.entry) };
    }
}

/// Prints the contents (C: the `show` function of `single_open()`).
///
/// # Safety
///
/// `seq` must be a valid file that only the caller uses.
unsafe extern "C" fn show<T: Show>(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: By this function's safety requirements.
    T::show(unsafe { SeqFile::from_raw(seq) });
    0
}
