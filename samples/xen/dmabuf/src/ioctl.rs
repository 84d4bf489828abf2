// SPDX-License-Identifier: GPL-2.0

//! Numbers of ioctls, and the one place that makes them.

use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

use crate::named;

const WRITE: u32 = 1;
const READ: u32 = 2;

/// An ioctl: its name, for messages, and its number.
pub(crate) struct Request {
    name: &'static str,
    pub(crate) number: u32,
}

/// An ioctl whose argument is a `T` that the kernel reads.
pub(crate) const fn to_kernel<T>(name: &'static str, kind: u8, number: u8) -> Request {
    Request {
        name,
        number: encode::<T>(WRITE, kind, number),
    }
}

/// An ioctl whose argument is a `T` that the kernel reads and writes.
pub(crate) const fn both_ways<T>(name: &'static str, kind: u8, number: u8) -> Request {
    Request {
        name,
        number: encode::<T>(READ | WRITE, kind, number),
    }
}

const fn encode<T>(direction: u32, kind: u8, number: u8) -> u32 {
    (direction << 30) | ((size_of::<T>() as u32) << 16) | ((kind as u32) << 8) | number as u32
}

/// Makes the ioctl `request` on `file`; what the kernel returns.
///
/// # Safety
///
/// `request` must take a `T`, and where the kernel finds addresses in it, what
/// is there must be what the request reads and writes.
pub(crate) unsafe fn call<T>(
    file: BorrowedFd<'_>,
    request: Request,
    argument: &mut T,
) -> io::Result<c_int> {
    loop {
        // SAFETY: The argument lives through the call; the rest is the
        // caller's word.
        let result = unsafe {
            let number = request.number.into();
            libc::ioctl(file.as_raw_fd(), number, &raw mut *argument)
        };
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        // DRM's way to say that a signal came first: nothing was done.
        if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) {
            return Err(named(request.name, error));
        }
    }
}
