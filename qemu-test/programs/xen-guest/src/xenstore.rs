// SPDX-License-Identifier: GPL-2.0

//! Xenstore, where domains leave each other short messages.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_ulong;
use std::ffi::c_void;
use std::ffi::CString;
use std::io;
use std::ptr::NonNull;
use std::slice;
use std::time::Duration;
use std::time::Instant;

use crate::mapping::check;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

const NO_TRANSACTION: u32 = 0;

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
    fn xs_watch(handle: *mut Handle, path: *const c_char, token: *const c_char) -> bool;
    fn xs_fileno(handle: *mut Handle) -> c_int;
    fn xs_check_watch(handle: *mut Handle) -> *mut *mut c_char;
}

/// A connection to xenstore. A domU's relative paths begin at its own
/// `/local/domain/ID`.
pub struct Xenstore {
    handle: NonNull<Handle>,
    watched: RefCell<BTreeSet<String>>,
}

impl Xenstore {
    /// Connects: to the daemon where it runs, else to the hypervisor's device.
    pub fn open() -> io::Result<Self> {
        // SAFETY: Takes no pointer.
        let handle = NonNull::new(unsafe { xs_open(0) }).ok_or_else(io::Error::last_os_error)?;
        let connection = Self {
            handle,
            watched: RefCell::default(),
        };
        // The library opens the pipe that tells of watches when it is first asked for. Now is
        // better: who counts open files finds as many later.
        // SAFETY: The connection is open.
        check(unsafe { xs_fileno(handle.as_ptr()) })?;
        Ok(connection)
    }

    /// The value at `path`, or `None` where there is no such node.
    pub fn read(&self, path: &str) -> io::Result<Option<String>> {
        let path = CString::new(path)?;
        let mut length = 0;
        // SAFETY: The connection is open; path and length live long enough.
        let data = unsafe {
            xs_read(
                self.handle.as_ptr(),
                NO_TRANSACTION,
                path.as_ptr(),
                &raw mut length,
            )
        };
        if data.is_null() {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::ENOENT) => Ok(None),
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
        succeeded(unsafe {
            xs_write(
                self.handle.as_ptr(),
                NO_TRANSACTION,
                path.as_ptr(),
                value.as_ptr().cast(),
                value.len() as c_uint,
            )
        })
    }

    /// Removes `path` and what is below it.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let path = CString::new(path)?;
        // SAFETY: The connection is open; the path lives long enough.
        succeeded(unsafe { xs_rm(self.handle.as_ptr(), NO_TRANSACTION, path.as_ptr()) })
    }

    /// Waits until the value at `path` is one that `wanted` accepts.
    pub fn wait_for<T>(
        &self,
        path: &str,
        limit: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> io::Result<T> {
        let deadline = Instant::now() + limit;
        self.watch(path)?;
        loop {
            if let Some(result) = self.read(path)?.as_deref().and_then(&mut wanted) {
                return Ok(result);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message = format!("nothing came to {path} within {} s", limit.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            self.wait_for_change(left)?;
        }
    }

    /// Asks to be told of changes of `path` from now on. Who waits for a path
    /// once does so again, and asking anew would take longer than the answer.
    fn watch(&self, path: &str) -> io::Result<()> {
        if self.watched.borrow().contains(path) {
            return Ok(());
        }
        let c_path = CString::new(path)?;
        // SAFETY: The connection is open; path and token live long enough.
        succeeded(unsafe { xs_watch(self.handle.as_ptr(), c_path.as_ptr(), c"".as_ptr()) })?;
        self.watched.borrow_mut().insert(path.to_string());
        Ok(())
    }

    /// Waits until something that is watched may have changed, `limit` at most.
    fn wait_for_change(&self, limit: Duration) -> io::Result<()> {
        let handle = self.handle.as_ptr();
        let mut poll = libc::pollfd {
            // SAFETY: The connection is open.
            fd: unsafe { xs_fileno(handle) },
            events: libc::POLLIN,
            revents: 0,
        };
        let milliseconds = limit.as_millis().clamp(1, 1_000_000) as c_int;
        // SAFETY: `poll` is one entry, as said.
        check(unsafe { libc::poll(&raw mut poll, 1, milliseconds) })?;
        loop {
            // SAFETY: The connection is open. Never blocks.
            let event = unsafe { xs_check_watch(handle) };
            if event.is_null() {
                return Ok(());
            }
            // SAFETY: One buffer made by malloc, ours to free.
            unsafe { libc::free(event.cast()) };
        }
    }
}

impl Drop for Xenstore {
    fn drop(&mut self) {
        // SAFETY: The connection is open and nobody has it any more.
        unsafe { xs_close(self.handle.as_ptr()) };
    }
}

fn succeeded(result: bool) -> io::Result<()> {
    if !result {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
