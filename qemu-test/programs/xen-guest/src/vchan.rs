// SPDX-License-Identifier: GPL-2.0

//! A stream between two domains, by libxenvchan.
//!
//! The server grants the pages of two rings (gntalloc), the client maps them
//! (gntdev). Each asks its kernel to clear a byte of the shared page and to
//! send an event when it goes, in whatever way: that is how the other knows.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;
use std::ffi::CString;
use std::io;
use std::ptr;
use std::ptr::NonNull;
use std::time::Duration;

use crate::mapping::check;

/// What is known of the library's structure: its first fields.
#[repr(C)]
struct Control {
    _grants: *mut c_void,
    _ring: *mut c_void,
    _event: *mut c_void,
    _event_port: u32,
    flags: c_uint,
}

/// The flag under which calls wait instead of doing nothing.
const BLOCKING: c_uint = 1 << 2;

#[link(name = "xenvchan")]
extern "C" {
    fn libxenvchan_server_init(
        logger: *mut c_void,
        domain: c_int,
        path: *const c_char,
        read_min: usize,
        write_min: usize,
    ) -> *mut Control;
    fn libxenvchan_client_init(
        logger: *mut c_void,
        domain: c_int,
        path: *const c_char,
    ) -> *mut Control;
    fn libxenvchan_close(control: *mut Control);
    fn libxenvchan_read(control: *mut Control, data: *mut c_void, size: usize) -> c_int;
    fn libxenvchan_write(control: *mut Control, data: *const c_void, size: usize) -> c_int;
    fn libxenvchan_wait(control: *mut Control) -> c_int;
    fn libxenvchan_fd_for_select(control: *mut Control) -> c_int;
    fn libxenvchan_is_open(control: *mut Control) -> c_int;
}

/// What is known of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It has gone.
    Gone,
    /// It is there.
    Connected,
    /// It has not come yet; only a server sees this.
    Awaited,
}

/// One end of a stream.
pub struct Vchan {
    control: NonNull<Control>,
}

impl Vchan {
    /// Offers a stream to domain `peer` at `path` in xenstore; each direction
    /// has a ring of at least `ring` bytes.
    pub fn serve(peer: u32, path: &str, ring: usize) -> io::Result<Self> {
        let path = CString::new(path)?;
        // SAFETY: A null logger is the library's default; the path lives long
        // enough.
        Self::new(unsafe {
            libxenvchan_server_init(ptr::null_mut(), peer as c_int, path.as_ptr(), ring, ring)
        })
    }

    /// Connects to the stream that domain `peer` offers at `path`.
    pub fn connect(peer: u32, path: &str) -> io::Result<Self> {
        let path = CString::new(path)?;
        // SAFETY: As in `serve`.
        Self::new(unsafe { libxenvchan_client_init(ptr::null_mut(), peer as c_int, path.as_ptr()) })
    }

    fn new(control: *mut Control) -> io::Result<Self> {
        let mut control = NonNull::new(control).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: The library made the structure and leaves this flag to us.
        unsafe { control.as_mut().flags |= BLOCKING };
        Ok(Self { control })
    }

    /// What is known of the other end.
    pub fn peer(&self) -> Peer {
        // SAFETY: The stream is open on this side.
        match unsafe { libxenvchan_is_open(self.control.as_ptr()) } {
            0 => Peer::Gone,
            1 => Peer::Connected,
            _ => Peer::Awaited,
        }
    }

    /// Waits for some bytes and returns how many came; an error when the other
    /// end has gone and everything was read.
    pub fn read(&mut self, data: &mut [u8]) -> io::Result<usize> {
        // SAFETY: The stream is open, and the buffer has the length said.
        count(unsafe {
            libxenvchan_read(self.control.as_ptr(), data.as_mut_ptr().cast(), data.len())
        })
    }

    /// Waits until all of `data` is in the ring; an error when the other end
    /// has gone.
    pub fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            // SAFETY: The stream is open, and the buffer has the length said.
            let written = count(unsafe {
                libxenvchan_write(self.control.as_ptr(), data.as_ptr().cast(), data.len())
            })?;
            data = &data[written..];
        }
        Ok(())
    }

    /// Waits, `limit` at most, until the other end is as `wanted`; returns
    /// whether it is.
    pub fn wait_for(&mut self, wanted: Peer, limit: Duration) -> io::Result<bool> {
        let deadline = std::time::Instant::now() + limit;
        while self.peer() != wanted {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let mut poll = libc::pollfd {
                // SAFETY: The stream is open.
                fd: unsafe { libxenvchan_fd_for_select(self.control.as_ptr()) },
                events: libc::POLLIN,
                revents: 0,
            };
            let milliseconds = left.as_millis().clamp(1, 1_000_000) as c_int;
            // SAFETY: `poll` is one entry, as said.
            check(unsafe { libc::poll(&raw mut poll, 1, milliseconds) })?;
            if poll.revents != 0 {
                // SAFETY: The stream is open. An event is there, so this does
                // not block.
                check(unsafe { libxenvchan_wait(self.control.as_ptr()) })?;
            }
        }
        Ok(true)
    }
}

impl Drop for Vchan {
    fn drop(&mut self) {
        // SAFETY: The stream is open and nobody has it any more.
        unsafe { libxenvchan_close(self.control.as_ptr()) };
    }
}

/// The library says nothing of why, but a broken stream is the one reason.
fn count(result: c_int) -> io::Result<usize> {
    usize::try_from(result)
        .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the other end has gone"))
}
