// SPDX-License-Identifier: GPL-2.0

//! Running other programs, with an end to every wait.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::process;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use guest_test::process_end::wait_ended;

use crate::limit::PATIENCE;

/// Status and output of a program that has ended, standard output and error as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its status; a signal is 128 and its number.
    pub status: i32,
    /// Its output.
    pub output: String,
}

/// Runs `command` to its end, which must come within `limit`.
///
/// The output goes to a file, not to a pipe: a program that stays behind in the background keeps a
/// pipe open, and the end of its output would not be seen.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Ended> {
    let mut file = scratch_file()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file.try_clone()?)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{command:?}: {error}")))?;
    let status = wait(&mut child, limit)?;
    file.rewind()?;
    let mut output = Vec::new();
    file.read_to_end(&mut output)?;
    let output = String::from_utf8_lossy(&output).into_owned();
    match status {
        Some(status) => Ok(Ended { status, output }),
        None => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{command:?}: no end after {limit:?}; it printed: {output}"),
        )),
    }
}

/// Runs a program that must succeed and returns what it printed.
pub fn succeed(program: &str, arguments: &[&str]) -> io::Result<String> {
    must_succeed(Command::new(program).args(arguments))
}

/// As [`succeed`], for a command that needs more than arguments.
pub fn must_succeed(command: &mut Command) -> io::Result<String> {
    let Ended { status, output } = run(command, PATIENCE)?;
    if status != 0 {
        let output = output.trim_end();
        let message = format!("{command:?}: status {status}: {output}");
        return Err(io::Error::other(message));
    }
    Ok(output)
}

/// Waits for `child`, which is killed when it has not ended within `limit`.
pub fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<i32>> {
    use std::os::unix::process::ExitStatusExt;

    if !wait_ended(child.id(), limit)? {
        child.kill()?;
        child.wait()?;
        return Ok(None);
    }
    let status = child.wait()?;
    let signal = || 128 + status.signal().unwrap_or(0);
    Ok(Some(status.code().unwrap_or_else(signal)))
}

/// A file that has no name any more.
fn scratch_file() -> io::Result<File> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = format!("/tmp/output-{}-{number}", process::id());
    let file = File::options()
        .read(true)
        .append(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn status_and_output_are_the_program_s() {
        let ended = run(&mut shell("echo out; echo err >&2; exit 3"), PATIENCE).unwrap();
        assert_eq!(ended.status, 3);
        assert_eq!(ended.output, "out\nerr\n");
    }

    #[test]
    fn who_stays_in_the_background_is_not_waited_for() {
        let ended = run(&mut shell("sleep 60 & echo $!"), Duration::from_secs(30)).unwrap();
        assert_eq!(ended.status, 0);
        succeed("kill", &[ended.output.trim()]).unwrap();
    }

    #[test]
    fn what_does_not_end_is_an_error() {
        let result = run(&mut shell("exec sleep 60"), Duration::from_millis(50));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_failure_carries_the_output() {
        let error = succeed("sh", &["-c", "echo why; exit 1"]).unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
    }
}
