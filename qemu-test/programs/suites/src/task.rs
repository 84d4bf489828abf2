// SPDX-License-Identifier: GPL-2.0

//! Threads that block in the kernel, as /proc shows them.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::path::PathBuf;

use crate::wait::settle;
use crate::wait::PATIENCE;

/// A thread, which may be another process's.
#[derive(Clone, Debug)]
pub struct Task {
    folder: PathBuf,
}

impl Task {
    /// The calling thread.
    pub fn current() -> io::Result<Self> {
        let name = fs::read_link("/proc/thread-self")?;
        Ok(Self {
            folder: Path::new("/proc").join(name),
        })
    }

    /// The first thread of process `pid`.
    pub fn of_process(pid: i32) -> Self {
        Self {
            folder: PathBuf::from(format!("/proc/{pid}")),
        }
    }

    /// Waits until the thread sleeps. It reads the state again and again, as there is no event for
    /// it.
    pub fn wait_until_asleep(&self) -> io::Result<()> {
        self.wait_until("asleep", || self.is_asleep())
    }

    /// Waits until the thread sleeps in a system call on `file`, as [`Self::wait_until_asleep`].
    /// The file is the first argument of the call, as that of ioctl(2) and read(2).
    pub fn wait_until_asleep_on(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        let file = format!("{:#x}", file.as_raw_fd());
        self.wait_until("asleep on the file", || {
            Ok(self.is_asleep()? && self.first_argument()? == Some(file.clone()))
        })
    }

    fn wait_until(&self, name: &str, state: impl Fn() -> io::Result<bool>) -> io::Result<()> {
        if settle(PATIENCE, state, |reached| *reached)? {
            return Ok(());
        }
        let message = format!("{} is not {name}", self.folder.display());
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    }

    fn is_asleep(&self) -> io::Result<bool> {
        let status = fs::read_to_string(self.folder.join("status"))?;
        Ok(status.lines().any(|line| line.starts_with("State:\tS")))
    }

    /// First argument of the system call in which the thread blocks.
    fn first_argument(&self) -> io::Result<Option<String>> {
        let call = fs::read_to_string(self.folder.join("syscall"))?;
        Ok(call.split(' ').nth(1).map(String::from))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_reads_is_asleep_on_its_file() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reader = Task::current().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                reader.wait_until_asleep().unwrap();
                reader.wait_until_asleep_on(ours.as_fd()).unwrap();
                assert_ne!(
                    reader.first_argument().unwrap(),
                    Some(format!("{:#x}", theirs.as_raw_fd()))
                );
                (&theirs).write_all(&[1]).unwrap();
            });
            (&ours).read_exact(&mut [0]).unwrap();
        });
    }

    #[test]
    fn a_thread_that_runs_is_not_asleep() {
        assert!(!Task::current().unwrap().is_asleep().unwrap());
    }
}
