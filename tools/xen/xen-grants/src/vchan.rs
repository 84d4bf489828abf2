// SPDX-License-Identifier: GPL-2.0

//! A stream of bytes between two domains, by libxenvchan.
//!
//! The server grants the pages of two rings, the client maps them. Each end asks its kernel to
//! clear a byte of the shared page and to send an event when it ends, also by a crash, so that the
//! other end learns of it.

use std::ffi::c_int;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::ptr::NonNull;
use std::time::Duration;
use std::time::Instant;

use crate::error::check;
use crate::error::Error;
use crate::error::Result;
use crate::poll;
use crate::sys;
use crate::xenstore::c_string;

/// State of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It has closed the stream or has died.
    Gone,
    /// It is connected.
    Connected,
    /// It has not connected yet, which only a server sees.
    Awaited,
}

/// One end of a stream; dropping it closes the stream.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use xen_grants::vchan::Peer;
/// use xen_grants::vchan::Vchan;
///
/// let mut stream = Vchan::serve(3, "data/stream", 4096)?;
/// if stream.wait_for(Peer::Connected, Duration::from_secs(60))? {
///     stream.write_all(b"hello")?;
/// }
/// # Ok::<(), xen_grants::Error>(())
/// ```
#[derive(Debug)]
pub struct Vchan {
    control: NonNull<sys::Vchan>,
}

impl Vchan {
    /// Offers a stream to domain `peer` at `path` in xenstore. Each direction has a ring of at
    /// least `ring` bytes.
    ///
    /// # Errors
    ///
    /// Those of xenstore, gntalloc and event channels.
    pub fn serve(peer: u32, path: &str, ring: usize) -> Result<Self> {
        let c_path = c_string(path)?;
        // SAFETY: A null logger is the library's default; the path is valid during the call.
        Self::new("libxenvchan_server_init", unsafe {
            sys::libxenvchan_server_init(
                ptr::null_mut(),
                peer as c_int,
                c_path.as_ptr(),
                ring,
                ring,
            )
        })
    }

    /// Connects to the stream that domain `peer` offers at `path` in xenstore.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the domain offers none, and those of gntdev and event channels.
    pub fn connect(peer: u32, path: &str) -> Result<Self> {
        let c_path = c_string(path)?;
        // SAFETY: As in `serve`.
        Self::new("libxenvchan_client_init", unsafe {
            sys::libxenvchan_client_init(ptr::null_mut(), peer as c_int, c_path.as_ptr())
        })
    }

    fn new(call: &'static str, control: *mut sys::Vchan) -> Result<Self> {
        let mut control = NonNull::new(control).ok_or_else(|| Error::last(call))?;
        // SAFETY: The library has made the structure, and leaves this flag to its user.
        unsafe { control.as_mut().flags |= sys::VCHAN_BLOCKING };
        Ok(Self { control })
    }

    /// State of the other end.
    pub fn peer(&self) -> Peer {
        // SAFETY: The stream is open on this side.
        match unsafe { sys::libxenvchan_is_open(self.control.as_ptr()) } {
            0 => Peer::Gone,
            1 => Peer::Connected,
            _ => Peer::Awaited,
        }
    }

    /// Waits until there is something to read, puts it into `data` and returns the number of bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] if the other end has gone and everything was read.
    pub fn read(&mut self, data: &mut [u8]) -> Result<usize> {
        // SAFETY: The stream is open, and the buffer has that many bytes.
        count(unsafe {
            sys::libxenvchan_read(self.control.as_ptr(), data.as_mut_ptr().cast(), data.len())
        })
    }

    /// Waits until all of `data` is in the ring.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] if the other end has gone.
    pub fn write_all(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            // SAFETY: The stream is open, and the buffer has that many bytes.
            let written = count(unsafe {
                sys::libxenvchan_write(self.control.as_ptr(), data.as_ptr().cast(), data.len())
            })?;
            data = &data[written..];
        }
        Ok(())
    }

    /// Waits until the other end is in the state `wanted`, at most for `limit`, and returns true if
    /// it is.
    ///
    /// # Errors
    ///
    /// Those of the event channel.
    pub fn wait_for(&mut self, wanted: Peer, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        while self.peer() != wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            // SAFETY: The stream is open, and so is its descriptor until it is closed.
            let file = unsafe {
                BorrowedFd::borrow_raw(sys::libxenvchan_fd_for_select(self.control.as_ptr()))
            };
            if !poll::wait(file, left)?.is_empty() {
                // SAFETY: The stream is open. There is an event, so this does not block.
                check("libxenvchan_wait", unsafe {
                    sys::libxenvchan_wait(self.control.as_ptr())
                })?;
            }
        }
        Ok(true)
    }
}

impl Drop for Vchan {
    fn drop(&mut self) {
        // SAFETY: The stream is open, and nothing uses it after this.
        unsafe { sys::libxenvchan_close(self.control.as_ptr()) };
    }
}

/// The library gives no reason for an error; a stream that was closed is the only one.
fn count(result: c_int) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::Disconnected)
}
