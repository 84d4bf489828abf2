// SPDX-License-Identifier: GPL-2.0

//! Steps of one process that another one waits for.

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::thread;

use guest_test::process::Child;

use crate::wait::PATIENCE;

/// The end of a step that reports it.
pub struct Report(UnixStream);

/// The end of a step that waits for it.
pub struct Step(UnixStream);

/// A step that a process reports and another one waits for. They are made before the child process,
/// which has copies of both ends: the parent drops the end that it does not use, so that the death
/// of the child ends the wait.
pub fn step() -> io::Result<(Report, Step)> {
    let (report, step) = UnixStream::pair()?;
    step.set_read_timeout(Some(PATIENCE))?;
    Ok((Report(report), Step(step)))
}

/// Child process that calls `body`, as it is when it has reported its step. It stays by
/// [`Report::send_and_stay`], with all that `body` holds, until it is killed.
pub fn staying_child(body: impl FnOnce(&Report)) -> io::Result<Child> {
    let (report, step) = step()?;
    let child = Child::spawn(|| body(&report))?;
    drop(report);
    step.wait()?;
    Ok(child)
}

impl Report {
    /// Reports the step, and does not return.
    pub fn send_and_stay(&self) -> ! {
        self.send().expect("report");
        loop {
            thread::park();
        }
    }

    /// Reports the step.
    pub fn send(&self) -> io::Result<()> {
        (&self.0).write_all(&[1])
    }
}

impl Step {
    /// Waits until the step is reported. Fails if all processes that could report it have ended,
    /// and after [`PATIENCE`].
    pub fn wait(&self) -> io::Result<()> {
        (&self.0).read_exact(&mut [0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_seen_once_it_is_reported() {
        let (report, step) = step().unwrap();
        report.send().unwrap();
        step.wait().unwrap();
    }

    #[test]
    fn nobody_is_left_to_report() {
        let (report, step) = step().unwrap();
        drop(report);
        let error = step.wait().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
