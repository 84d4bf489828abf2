// SPDX-License-Identifier: GPL-2.0

//! Child processes that are copies of this one, for tests that end the process or that need a
//! forked one.

use std::fs;
use std::io;
use std::io::Write;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use std::time::Instant;

use crate::call::check;

/// End of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Exited with this status.
    Exited(i32),
    /// Killed by this signal.
    Signalled(i32),
}

/// Exit status of a child that panicked.
const PANICKED: i32 = 101;

/// Child process. It is killed if it is dropped before its end was seen.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    ended: bool,
}

impl Child {
    /// Starts a copy of this process, which calls `body` and exits with 0.
    ///
    /// No other thread may run: locks that one holds would stay locked in the copy.
    pub fn spawn(body: impl FnOnce()) -> io::Result<Self> {
        // Otherwise both processes would write the buffered output.
        io::stdout().flush()?;
        // SAFETY: The caller makes sure that this is the only thread, so that the copy is a
        // complete process without restrictions.
        let pid = unsafe { libc::fork() };
        check(pid)?;
        if pid == 0 {
            // SAFETY: Takes numbers only. If the parent died, the child would otherwise live on
            // with its mappings.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            // The panic hook of the parent may report to an object that only the parent reads; the
            // default hook prints the message.
            drop(panic::take_hook());
            let result = panic::catch_unwind(AssertUnwindSafe(body));
            let _ = io::stdout().flush();
            let status = if result.is_ok() { 0 } else { PANICKED };
            // SAFETY: Ends this process at once. The destructors of the caller's objects belong to
            // the parent and must not run here.
            unsafe { libc::_exit(status) }
        }
        Ok(Self { pid, ended: false })
    }

    /// Returns the process id of the child.
    pub fn id(&self) -> i32 {
        self.pid
    }

    /// Kills the child.
    pub fn kill(&self) -> io::Result<()> {
        // SAFETY: The child has not been waited for, so that the id is still its own.
        check(unsafe { libc::kill(self.pid, libc::SIGKILL) })
    }

    /// Waits for the end of the child, at most for `limit`; `None` if it still runs.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<End>> {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_micros(200);
        loop {
            let mut status = 0;
            // SAFETY: The child has not been waited for; `status` is a local variable.
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

/// Returns the number of files that this process has open.
pub fn open_files() -> io::Result<usize> {
    // Reading the folder opens it, too.
    Ok(fs::read_dir("/proc/self/fd")?.count() - 1)
}

/// Runs `body` in a copy of this process and returns how the copy ended.
pub fn in_child(body: impl FnOnce()) -> io::Result<End> {
    let limit = Duration::from_secs(30);
    Child::spawn(body)?
        .wait(limit)?
        .ok_or_else(|| io::Error::other("the child process does not end"))
}
