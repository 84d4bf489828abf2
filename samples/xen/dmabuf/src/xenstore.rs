// SPDX-License-Identifier: GPL-2.0

//! Xenstore, where domains leave each other short messages.

use std::ffi::c_char;
use std::ffi::c_uint;
use std::ffi::c_ulong;
use std::ffi::c_void;
use std::ffi::CStr;
use std::ffi::CString;
use std::io;
use std::ptr::NonNull;
use std::slice;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::last_error;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

const NO_TRANSACTION: u32 = 0;

/// How often a node is looked at that somebody waits for. A back end for many
/// domains would set watches instead.
const INTERVAL: Duration = Duration::from_millis(50);

#[link(name = "xenstore")]
extern "C" {
    fn xs_open(flags: c_ulong) -> *mut Handle;
    fn xs_close(handle: *mut Handle);
    fn xs_read(
        handle: *mut Handle,
        transaction: u32,
        path: *const c_char,
        length: *mut c_uint,
    ) -> *mut c_void;
    fn xs_write(
        handle: *mut Handle,
        transaction: u32,
        path: *const c_char,
        data: *const c_void,
        length: c_uint,
    ) -> bool;
    fn xs_rm(handle: *mut Handle, transaction: u32, path: *const c_char) -> bool;
}

/// A connection to xenstore. A domU's relative paths begin at its own
/// `/local/domain/ID`.
pub struct Xenstore {
    handle: NonNull<Handle>,
}

impl Xenstore {
    /// Connects.
    pub fn open() -> io::Result<Self> {
        // SAFETY: Takes no pointer.
        match NonNull::new(unsafe { xs_open(0) }) {
            Some(handle) => Ok(Self { handle }),
            None => Err(last_error("xenstore")),
        }
    }

    /// The value at `path`, or `None` where there is no such node.
    pub fn read(&self, path: &str) -> io::Result<Option<String>> {
        let path = CString::new(path)?;
        let handle = self.handle.as_ptr();
        let mut length = 0;
        // SAFETY: The connection is open; path and length live long enough.
        let data = unsafe { xs_read(handle, NO_TRANSACTION, path.as_ptr(), &raw mut length) };
        if data.is_null() {
            let error = last_error(&path.to_string_lossy());
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(None),
                _ => Err(error),
            };
        }
        // SAFETY: The library returned a buffer of that many bytes.
        let bytes = unsafe { slice::from_raw_parts(data.cast::<u8>(), length as usize) };
        let value = String::from_utf8_lossy(bytes).into_owned();
        // SAFETY: The buffer was made by malloc and is ours to free.
        unsafe { libc::free(data) };
        Ok(Some(value))
    }

    /// Writes `value` at `path`.
    pub fn write(&self, path: &str, value: &str) -> io::Result<()> {
        let path = CString::new(path)?;
        // SAFETY: The connection is open; path and value live long enough.
        let written = unsafe {
            xs_write(
                self.handle.as_ptr(),
                NO_TRANSACTION,
                path.as_ptr(),
                value.as_ptr().cast(),
                value.len() as c_uint,
            )
        };
        succeeded(&path, written)
    }

    /// Removes `path` and what is below it, if there is anything.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let path = CString::new(path)?;
        let handle = self.handle.as_ptr();
        // SAFETY: The connection is open; the path lives long enough.
        let removed = unsafe { xs_rm(handle, NO_TRANSACTION, path.as_ptr()) };
        match succeeded(&path, removed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Waits until there is a value at `path`.
    pub fn wait_for(&self, path: &str, limit: Duration) -> io::Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(value) = self.read(path)? {
                return Ok(value);
            }
            if Instant::now() > deadline {
                let message = format!("nothing came to {path} within {} s", limit.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            thread::sleep(INTERVAL);
        }
    }
}

impl Drop for Xenstore {
    fn drop(&mut self) {
        // SAFETY: The connection is open and nobody has it any more.
        unsafe { xs_close(self.handle.as_ptr()) };
    }
}

fn succeeded(path: &CStr, result: bool) -> io::Result<()> {
    if result {
        return Ok(());
    }
    Err(last_error(&path.to_string_lossy()))
}
