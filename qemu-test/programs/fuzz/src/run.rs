// SPDX-License-Identifier: GPL-2.0

//! A run: operations that a new process executes, and the search for what it leaves behind.

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use guest_test::mapping;
use guest_test::process::Child;
use guest_test::process::End;
use suites::suite::LeakCheck;

use crate::machine::Machine;
use crate::model::Model;
use crate::operation::Operation;
use crate::setting::Setting;
use crate::storm;
use crate::tally::Column;
use crate::tally::Tally;

/// Time limit of each operation, for one that hangs. A busy host may have a whole run take longer.
const LIMIT: Duration = Duration::from_secs(300);

/// Failure of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Index of the operation that failed; beyond the last one for a failure of all together.
    pub at: usize,
    /// Class of the failure, which stays the same when a run is made shorter.
    pub class: String,
    /// Description for people.
    pub message: String,
}

/// First line of the report of a process whose operations all had expected results.
const GOOD: &str = "good";
/// The same for one whose operation failed; the index and the message follow.
const FAILED: &str = "failed";

/// Result of a process: the numbers of its operations, or its failure.
pub type Report = Result<Tally, Failure>;

/// Executes `operations` in a new process, and checks that nothing is left of it by the counts of
/// the driver and of Xen.
///
/// # Errors
///
/// Those of the test itself: a domU that does not answer, for example.
pub fn run(
    setting: Setting,
    operations: &[Operation],
    leaks: &mut LeakCheck,
) -> io::Result<Report> {
    let name_at = |at: usize| operations.get(at).map_or("the end".into(), Operation::name);
    in_process(leaks, name_at, |progress| {
        execute(setting, operations, progress)
    })
}

/// As [`run`], for `threads` threads that make `count` calls each.
///
/// # Errors
///
/// As for [`run`].
pub fn run_threads(
    setting: Setting,
    seed: u64,
    threads: usize,
    count: usize,
    leaks: &mut LeakCheck,
) -> io::Result<Report> {
    let name_at = |_| "a thread".into();
    in_process(leaks, name_at, |progress| {
        let result = storm::execute(setting, seed, threads, count, progress)?;
        Ok(result.map_err(|message| (0, message)))
    })
}

/// Result of the operations: their numbers, or the index of the one that failed and a message.
type Executed = Result<Tally, (usize, String)>;

/// Calls `body` in a new process. It stores the index of the operation that it executes in the
/// word that it gets. `name_at` returns the name of an operation.
fn in_process(
    leaks: &mut LeakCheck,
    name_at: impl Fn(usize) -> String,
    body: impl FnOnce(&AtomicU32) -> io::Result<Executed>,
) -> io::Result<Report> {
    let memory = mapping::shared(1)?;
    let progress = memory.word(0);
    let (mut reader, writer) = UnixStream::pair()?;
    let mut child = Child::spawn(|| {
        let report = match body(progress) {
            Ok(Ok(tally)) => format!("{GOOD}\n{tally}"),
            Ok(Err((at, message))) => format!("{FAILED}\n{at}\n{message}"),
            Err(error) => error.to_string(),
        };
        (&writer).write_all(report.as_bytes()).expect("the report");
    })?;
    let end = end_of(|| child.wait(LIMIT), progress)?;
    drop(child);
    drop(writer);
    let mut report = String::new();
    reader.read_to_string(&mut report)?;

    let at = progress.load(Ordering::Relaxed) as usize;
    let left = leaks.check();
    let died = match end {
        None => Some("the process hangs".to_string()),
        Some(End::Signalled(signal)) => Some(format!("signal {signal}")),
        Some(End::Exited(_)) => None,
    };
    if let Some(end) = died {
        let message = format!("{end} in {}", name_at(at));
        let class = message.clone();
        return Ok(Err(Failure { at, class, message }));
    }
    let result = match report.split_once('\n') {
        Some((GOOD, rest)) => {
            Tally::parse(rest).ok_or_else(|| io::Error::other(format!("not a tally: {rest:?}")))?
        }
        Some((FAILED, rest)) => {
            let (at, message) = rest.split_once('\n').unwrap_or(("", rest));
            let at = at.parse().map_err(io::Error::other)?;
            let class = format!("an unexpected result of {}", name_at(at));
            let message = format!("operation {at}, {}: {message}", name_at(at));
            return Ok(Err(Failure { at, class, message }));
        }
        _ => return Err(io::Error::other(format!("at {}: {report}", name_at(at)))),
    };
    Ok(left.map(|()| result).map_err(|message| Failure {
        at: usize::MAX,
        class: "leak".into(),
        message,
    }))
}

/// Returns the end of a process for which `wait` waits; `None` if its progress stays the same
/// during one wait.
fn end_of(
    mut wait: impl FnMut() -> io::Result<Option<End>>,
    progress: &AtomicU32,
) -> io::Result<Option<End>> {
    loop {
        let before = progress.load(Ordering::Relaxed);
        let end = wait()?;
        if end.is_some() || progress.load(Ordering::Relaxed) == before {
            return Ok(end);
        }
    }
}

/// Executes the operations. Returns the index of the first one whose result is not expected, and a
/// message.
fn execute(
    setting: Setting,
    operations: &[Operation],
    progress: &AtomicU32,
) -> io::Result<Executed> {
    let mut machine = Machine::new(setting)?;
    let mut model = Model::new(setting);
    let mut tally = Tally::default();
    for (at, operation) in operations.iter().enumerate() {
        progress.store(at as u32, Ordering::Relaxed);
        let outcome = machine.execute(operation, &mut model)?;
        if let Err(message) = model.judge(operation, &outcome) {
            return Ok(Err((at, message)));
        }
        tally.count(&operation.name(), Column::of(&outcome));
    }
    if machine.scratch() != model.scratch.bytes() {
        let message = "the process' own memory has other bytes than expected";
        return Ok(Err((operations.len(), message.into())));
    }
    Ok(Ok(tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_goes_on_does_not_hang() {
        let progress = AtomicU32::new(0);
        let mut waits = 0;
        let slow = || {
            waits += 1;
            progress.fetch_add(1, Ordering::Relaxed);
            Ok((waits == 5).then_some(End::Exited(0)))
        };
        assert_eq!(end_of(slow, &progress).unwrap(), Some(End::Exited(0)));
        assert_eq!(waits, 5);
    }

    #[test]
    fn a_process_that_stops_hangs() {
        let progress = AtomicU32::new(7);
        assert_eq!(end_of(|| Ok(None), &progress).unwrap(), None);
    }
}
