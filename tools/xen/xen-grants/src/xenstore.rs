// SPDX-License-Identifier: GPL-2.0

//! Xenstore, by libxenstore: a tree of short values that the domains of a machine share.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::c_uint;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::slice;
use std::time::Duration;
use std::time::Instant;

use crate::error::check;
use crate::error::Error;
use crate::error::Result;
use crate::poll;
use crate::sys;

/// A connection to xenstore. The relative paths of a domain begin at its own `/local/domain/ID`.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use xen_grants::xenstore::Xenstore;
///
/// let store = Xenstore::open()?;
/// store.write("data/question", "6 * 7")?;
/// let answer: u32 = store.wait_for("data/answer", Duration::from_secs(60), |text| {
///     text.parse().ok()
/// })?;
/// # Ok::<(), xen_grants::Error>(())
/// ```
#[derive(Debug)]
pub struct Xenstore {
    handle: NonNull<sys::Xs>,
    watched: RefCell<BTreeSet<String>>,
}

impl Xenstore {
    /// Connects to the daemon if it runs in this domain, else by the device `/dev/xen/xenbus`.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is neither.
    pub fn open() -> Result<Self> {
        // SAFETY: Takes no pointer.
        let handle = unsafe { sys::xs_open(0) };
        let handle = NonNull::new(handle).ok_or_else(|| Error::last("xenstore"))?;
        let connection = Self {
            handle,
            watched: RefCell::default(),
        };
        // The library opens the pipe for watches on the first request for it. Opening it now keeps
        // the number of open files constant from here on.
        // SAFETY: The connection is open.
        check("xs_fileno", unsafe { sys::xs_fileno(handle.as_ptr()) })?;
        Ok(connection)
    }

    /// The value at `path`; `None` if there is no such node.
    ///
    /// # Errors
    ///
    /// `EACCES` if the node is not for this domain to read.
    pub fn read(&self, path: &str) -> Result<Option<String>> {
        let c_path = c_string(path)?;
        let mut length = 0;
        // SAFETY: The connection is open; path and length are valid during the call.
        let data = unsafe {
            sys::xs_read(
                self.handle.as_ptr(),
                sys::NO_TRANSACTION,
                c_path.as_ptr(),
                &raw mut length,
            )
        };
        if data.is_null() {
            return none_if_missing(Error::last(path.to_string())).map(|()| None);
        }
        // SAFETY: The library has returned a buffer of that many bytes.
        let bytes = unsafe { slice::from_raw_parts(data.cast::<u8>(), length as usize) };
        let value = String::from_utf8_lossy(bytes).into_owned();
        // SAFETY: malloc has made the buffer, which is the caller's to free.
        unsafe { libc::free(data) };
        Ok(Some(value))
    }

    /// Writes `value` at `path`. Missing nodes on the way are made.
    ///
    /// # Errors
    ///
    /// `EACCES` if the node is not for this domain to write, `E2BIG` or `ENOSPC` if the value is
    /// larger or the nodes are more than the domain may have.
    pub fn write(&self, path: &str, value: &str) -> Result<()> {
        let c_path = c_string(path)?;
        // SAFETY: The connection is open; path and value are valid during the call.
        succeeded(path, unsafe {
            sys::xs_write(
                self.handle.as_ptr(),
                sys::NO_TRANSACTION,
                c_path.as_ptr(),
                value.as_ptr().cast(),
                value.len() as c_uint,
            )
        })
    }

    /// Removes the node at `path`, if there is one, and all below it.
    ///
    /// # Errors
    ///
    /// `EACCES` if the node is not for this domain to write.
    pub fn remove(&self, path: &str) -> Result<()> {
        let c_path = c_string(path)?;
        // SAFETY: The connection is open; the path is valid during the call.
        let removed = succeeded(path, unsafe {
            sys::xs_rm(self.handle.as_ptr(), sys::NO_TRANSACTION, c_path.as_ptr())
        });
        removed.or_else(none_if_missing)
    }

    /// Waits, at most for `limit`, until there is a value at `path` for which `wanted` returns
    /// `Some`, and returns what is in it. The first call for a path sets a watch, which stays.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and those of [`read`](Self::read).
    pub fn wait_for<T>(
        &self,
        path: &str,
        limit: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        self.watch(path)?;
        loop {
            if let Some(result) = self.read(path)?.as_deref().and_then(&mut wanted) {
                return Ok(result);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let awaited = path.to_string();
                return Err(Error::TimedOut { awaited, limit });
            }
            self.wait_for_change(left)?;
        }
    }

    fn watch(&self, path: &str) -> Result<()> {
        if self.watched.borrow().contains(path) {
            return Ok(());
        }
        let c_path = c_string(path)?;
        // SAFETY: The connection is open; path and token are valid during the call.
        succeeded(path, unsafe {
            sys::xs_watch(self.handle.as_ptr(), c_path.as_ptr(), c"".as_ptr())
        })?;
        self.watched.borrow_mut().insert(path.to_string());
        Ok(())
    }

    /// Waits until a watched node may have changed, at most for `limit`.
    fn wait_for_change(&self, limit: Duration) -> Result<()> {
        poll::wait(self.as_fd(), limit)?;
        loop {
            // SAFETY: The connection is open. The call does not block.
            let event = unsafe { sys::xs_check_watch(self.handle.as_ptr()) };
            if event.is_null() {
                return Ok(());
            }
            // SAFETY: malloc has made the one buffer, which is the caller's to free.
            unsafe { libc::free(event.cast()) };
        }
    }
}

/// The pipe that can be read when a watched node has changed.
impl AsFd for Xenstore {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `open` has had the library open the pipe, which lives as long as the connection.
        unsafe { BorrowedFd::borrow_raw(sys::xs_fileno(self.handle.as_ptr())) }
    }
}

impl Drop for Xenstore {
    fn drop(&mut self) {
        // SAFETY: The connection is open, and nothing uses it after this.
        unsafe { sys::xs_close(self.handle.as_ptr()) };
    }
}

pub(crate) fn c_string(path: &str) -> Result<CString> {
    CString::new(path).map_err(|error| Error::new(format!("{path:?}"), error))
}

fn succeeded(path: &str, result: bool) -> Result<()> {
    match result {
        true => Ok(()),
        false => Err(Error::last(path.to_string())),
    }
}

fn none_if_missing(error: Error) -> Result<()> {
    match error.raw_os_error() {
        Some(libc::ENOENT) => Ok(()),
        _ => Err(error),
    }
}
