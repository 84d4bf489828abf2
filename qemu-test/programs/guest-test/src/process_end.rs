// SPDX-License-Identifier: GPL-2.0

//! Waiting for the end of a process by an event: pidfd_open(2) and poll(2).

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::process::pidfd_open;
use rustix::process::Pid;
use rustix::process::PidfdFlags;

use crate::readiness::wait_readable;

/// Waits until process `pid` has ended, at most for `limit`, and returns true if it has. The status
/// of a child is still to be collected afterwards.
pub fn wait_ended(pid: u32, limit: Duration) -> io::Result<bool> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    let file = pidfd_open(pid, PidfdFlags::empty())?;
    wait_readable(file.as_fd(), limit)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_goes_on_has_not_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(!wait_ended(child.id(), Duration::from_millis(1)).unwrap());
        child.kill().unwrap();
        assert!(wait_ended(child.id(), Duration::from_secs(60)).unwrap());
        child.wait().unwrap();
    }
}
