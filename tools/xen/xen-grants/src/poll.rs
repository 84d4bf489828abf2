// SPDX-License-Identifier: GPL-2.0

//! Waiting for a file: poll(2).

use std::os::fd::BorrowedFd;
use std::time::Duration;
use std::time::Instant;

use rustix::event;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::io::Errno;

use crate::error::Error;
use crate::error::Result;

/// Waits until `file` can be read or has an error, at most for `limit`, and returns the events.
/// Signals do not end the wait.
pub(crate) fn wait(file: BorrowedFd<'_>, limit: Duration) -> Result<PollFlags> {
    // Too long a limit for the clock is none.
    let deadline = Instant::now().checked_add(limit);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut files = [PollFd::from_borrowed_fd(file, PollFlags::IN)];
        match event::poll(&mut files, left.as_ref()) {
            Ok(_) => return Ok(files[0].revents()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::new("poll", error)),
        }
    }
}
