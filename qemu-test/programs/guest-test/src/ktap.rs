// SPDX-License-Identifier: GPL-2.0

//! Runs the cases of a suite and reports them as KTAP.
//!
//! Each case runs in a process of its own: a case that crashes, hangs or leaks fails alone, and the
//! kernel closes its files before the next one.

use std::env;
use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use crate::process::Child;
use crate::process::End;

/// Reason why a case did not pass.
#[derive(Debug)]
pub enum Stop {
    /// Skipped, for this reason.
    Skip(String),
    /// Failed, for this reason.
    Fail(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Fail(error.to_string())
    }
}

impl From<xen_grants::Error> for Stop {
    fn from(error: xen_grants::Error) -> Self {
        Self::Fail(error.to_string())
    }
}

/// Result of a case; a panic is a failure, too.
pub type Verdict = Result<(), Stop>;

/// Case, ready to run.
pub struct Case<'a> {
    /// Rule that it checks.
    pub name: String,
    /// Maximum time that it may take.
    pub limit: Duration,
    /// Reason why it is known to fail with the driver in use.
    pub expected_failure: Option<&'a str>,
    /// Body of the case.
    pub body: Box<dyn FnOnce() -> Verdict + 'a>,
}

/// Environment variable with the number of the first case: the ones before it had their results
/// before the emulator died.
pub const FIRST_CASE: &str = "FIRST_CASE";

/// Runs `cases` and prints the results. `after_each` inspects the state of the system after the
/// process of a case has ended; a message from it fails the case.
pub fn run(
    suite: &str,
    cases: Vec<Case<'_>>,
    mut after_each: impl FnMut() -> Result<(), String>,
) -> ExitCode {
    let mut results = Results::begin(suite, cases.len());
    for case in cases.into_iter().skip(results.done()) {
        let Case {
            name,
            limit,
            expected_failure,
            body,
        } = case;
        let begin = Instant::now();
        let verdict = run_case(limit, body);
        let verdict = match after_each() {
            Ok(()) => verdict,
            Err(message) => also_failed(verdict, message),
        };
        results.print(&name, verdict, expected_failure, begin.elapsed());
    }
    results.finish()
}

/// Printed results of a suite.
#[derive(Debug)]
pub struct Results {
    /// Number of the last case that has its result.
    done: usize,
    failed: usize,
}

impl Results {
    /// Prints the plan of a suite of `count` cases.
    pub fn begin(suite: &str, count: usize) -> Self {
        println!("KTAP version 1");
        println!("# Subtest: {suite}");
        println!("1..{count}");
        let first = env::var(FIRST_CASE).map_or(1, |text| text.parse().expect("FIRST_CASE"));
        Self {
            done: first - 1,
            failed: 0,
        }
    }

    /// Returns the number of cases that have their results. The first ones may have been printed
    /// before the emulator died.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Prints the result of the next case, which took `time`.
    pub fn print(
        &mut self,
        name: &str,
        verdict: Verdict,
        expected_failure: Option<&str>,
        time: Duration,
    ) {
        self.done += 1;
        let number = self.done;
        match (verdict, expected_failure) {
            (Ok(()), None) => println!("ok {number} {name} # {:.1} s", time.as_secs_f32()),
            (Ok(()), Some(reason)) => {
                println!("# passed, but was expected to fail: {reason}");
                println!("not ok {number} {name}");
                self.failed += 1;
            }
            (Err(Stop::Skip(reason)), _) => println!("ok {number} {name} # SKIP {reason}"),
            (Err(Stop::Fail(message)), Some(reason)) => {
                print_diagnostic(&message);
                println!("ok {number} {name} # XFAIL {reason}");
            }
            (Err(Stop::Fail(message)), None) => {
                print_diagnostic(&message);
                println!("not ok {number} {name}");
                self.failed += 1;
            }
        }
    }

    /// Returns the exit status of the suite.
    pub fn finish(self) -> ExitCode {
        // A failed write must not look like a pass.
        if io::stdout().flush().is_err() || self.failed > 0 {
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }
}

fn also_failed(verdict: Verdict, message: String) -> Verdict {
    Err(Stop::Fail(match verdict {
        Err(Stop::Fail(first)) => format!("{first}\n{message}"),
        _ => message,
    }))
}

/// Prints lines that belong to the next result.
pub fn print_diagnostic(message: &str) {
    for line in message.lines() {
        println!("# {line}");
    }
}

/// First byte of the message from the process of a case; a case that passes sends none.
const SKIPPED: u8 = b'S';
const FAILED: u8 = b'F';

/// Longest message, which fits in the buffer of a socket without a reader. Longer ones are
/// truncated.
const LONGEST_MESSAGE: usize = 2000;

fn run_case(limit: Duration, body: Box<dyn FnOnce() -> Verdict + '_>) -> Verdict {
    let (mut reader, mut writer) = UnixStream::pair()?;
    let mut child = Child::spawn(|| {
        let (kind, message) = match verdict_of(body) {
            Ok(()) => return,
            Err(Stop::Skip(reason)) => (SKIPPED, reason),
            Err(Stop::Fail(message)) => (FAILED, message),
        };
        let mut message = message.into_bytes();
        message.insert(0, kind);
        message.truncate(LONGEST_MESSAGE);
        writer.write_all(&message).expect("the runner has gone");
    })?;

    let Some(end) = child.wait(limit)? else {
        let place = stuck_at(child.id());
        child.kill()?;
        let killed = child.wait(Duration::from_secs(5))?.is_some();
        let fate = if killed { "killed" } else { "cannot be killed" };
        let seconds = limit.as_secs();
        return fail(format!("not done after {seconds} s, {fate}; {place}"));
    };
    if end != End::Exited(0) {
        return fail(format!("the case's process ended: {end:?}"));
    }

    // The process has ended, so that its message is complete.
    reader.set_nonblocking(true)?;
    let mut buffer = [0; LONGEST_MESSAGE];
    let length = match reader.read(&mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        other => other?,
    };
    let text = String::from_utf8_lossy(buffer.get(1..length).unwrap_or_default());
    match buffer[..length].first() {
        None => Ok(()),
        Some(&SKIPPED) => Err(Stop::Skip(text.into_owned())),
        Some(_) => fail(text.into_owned()),
    }
}

fn fail(message: String) -> Verdict {
    Err(Stop::Fail(message))
}

/// Calls `body`; a panic becomes a failure with its message and location.
fn verdict_of(body: Box<dyn FnOnce() -> Verdict + '_>) -> Verdict {
    let message = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&message);
    panic::set_hook(Box::new(move |panic| {
        if let Ok(mut heard) = heard.lock() {
            *heard = panic.to_string();
        }
    }));
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        let message = message.lock().expect("the hook does not panic");
        fail(message.clone())
    })
}

/// Returns the state and the kernel stack of a process that does not end.
fn stuck_at(pid: i32) -> String {
    let read = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let state = read("status")
        .lines()
        .find(|line| line.starts_with("State:"))
        .unwrap_or("State: unknown")
        .to_string();
    format!("{state}\n{}", read("stack"))
}
