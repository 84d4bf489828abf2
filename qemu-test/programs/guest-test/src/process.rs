// SPDX-License-Identifier: GPL-2.0

//! Child processes that are copies of this one, for what a process may not
//! survive or what only a copy of it can see.

use std::fs;
use std::io;
use std::io::Write;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use std::time::Instant;

use crate::call::check;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// The status of a child that panicked.
const PANICKED: i32 = 101;

/// A child process; it is killed when dropped before it was seen to end.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    ended: bool,
}

impl Child {
    /// Starts a copy of this process, which calls `body` and exits with 0.
    ///
    /// To be called with no other thread running: locks that one of those
    /// holds would stay locked in the copy.
    pub fn spawn(body: impl FnOnce()) -> io::Result<Self> {
        // What is still buffered would be written by both.
        io::stdout().flush()?;
        // SAFETY: The caller sees to it that this is the only thread, so the
        // copy is a whole process that may do everything.
        let pid = unsafe { libc::fork() };
        check(pid)?;
        if pid == 0 {
            // SAFETY: Takes numbers only. Without a parent to watch it, the
            // child would live on and hold its mappings.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            // What the parent does with its panics is not known to reach
            // anybody from here; the default prints them.
            drop(panic::take_hook());
            let result = panic::catch_unwind(AssertUnwindSafe(body));
            let _ = io::stdout().flush();
            let status = if result.is_ok() { 0 } else { PANICKED };
            // SAFETY: Ends this process at once. The destructors of the
            // caller's objects belong to the parent and must not run here.
            unsafe { libc::_exit(status) }
        }
        Ok(Self { pid, ended: false })
    }

    /// The child's process id.
    pub fn id(&self) -> i32 {
        self.pid
    }

    /// Kills the child.
    pub fn kill(&self) -> io::Result<()> {
        // SAFETY: The child has not been waited for, so the id is still its.
        check(unsafe { libc::kill(self.pid, libc::SIGKILL) })
    }

    /// Waits for the child's end, `limit` at most; `None` if it goes on.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<End>> {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_micros(200);
        loop {
            let mut status = 0;
            // SAFETY: The child has not been waited for; `status` is ours.
            let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
            check(pid)?;
            if pid == self.pid {
                self.ended = true;
                return Ok(Some(if libc::WIFSIGNALED(status) {
                    End::Signalled(libc::WTERMSIG(status))
                } else {
                    End::Exited(libc::WEXITSTATUS(status))
                }));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.kill();
            let _ = self.wait(Duration::from_secs(10));
        }
    }
}

/// How many files this process has open.
pub fn open_files() -> io::Result<usize> {
    // The folder itself is open while it is read.
    Ok(fs::read_dir("/proc/self/fd")?.count() - 1)
}

/// Runs `body` in a copy of this process and says how that ended.
pub fn in_child(body: impl FnOnce()) -> io::Result<End> {
    let limit = Duration::from_secs(30);
    Child::spawn(body)?
        .wait(limit)?
        .ok_or_else(|| io::Error::other("the child process does not end"))
}
