// SPDX-License-Identifier: GPL-2.0

//! Waiting until a file has something to read: poll(2).

use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::mapping::check;

/// Waits until `file` can be read, `limit` at most, and says whether it can.
pub fn wait_readable(file: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let milliseconds = limit.as_millis().try_into().unwrap_or(c_int::MAX);
    // SAFETY: One entry is passed, which is ours.
    check(unsafe { libc::poll(&raw mut poll, 1, milliseconds) })?;
    match poll.revents {
        0 => Ok(false),
        libc::POLLIN => Ok(true),
        other => Err(io::Error::other(format!("poll answers {other:#x}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_was_written_can_be_read() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        assert!(!wait_readable(ours.as_fd(), Duration::ZERO).unwrap());
        theirs.write_all(b"x").unwrap();
        assert!(wait_readable(ours.as_fd(), Duration::from_secs(10)).unwrap());
    }
}
