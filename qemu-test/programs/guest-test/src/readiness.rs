// SPDX-License-Identifier: GPL-2.0

//! Waiting until a file has something to read: poll(2).

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;

/// Waits until `file` can be read, at most for `limit`, and returns true if it can.
pub fn wait_readable(file: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let mut files = [PollFd::from_borrowed_fd(file, PollFlags::IN)];
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    event::poll(&mut files, Some(&limit))?;
    match files[0].revents() {
        PollFlags::IN => Ok(true),
        other if other.is_empty() => Ok(false),
        other => Err(io::Error::other(format!("poll answers {other:?}"))),
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
