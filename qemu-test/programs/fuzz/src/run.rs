// SPDX-License-Identifier: GPL-2.0

//! A run: operations that a new process executes, and the search for what it leaves behind.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use guest_test::mapping;
use guest_test::process::Child;
use guest_test::process::End;
use suites::suite::LeakCheck;
use xen_grants::bytes::Bytes;

use crate::machine::Machine;
use crate::model::Model;
use crate::model::Setting;
use crate::operation::Operation;
use crate::outcome::Outcome;

/// Time limit of a run, for one that hangs.
const LIMIT: Duration = Duration::from_secs(600);

/// Failure of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Index of the operation that failed, or the number of operations.
    pub at: usize,
    /// Class of the failure, which stays the same when a run is made shorter.
    pub class: String,
    /// Description for people.
    pub message: String,
}

/// Numbers of operations that succeeded, that were refused, and that had nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count([usize; 3]);

/// Numbers of operations, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, Count>);

impl Tally {
    fn count(&mut self, operation: &Operation, outcome: &Outcome) {
        let column = match outcome {
            Outcome::Error(_) => 1,
            Outcome::Nothing => 2,
            _ => 0,
        };
        self.0.entry(operation.name()).or_default().0[column] += 1;
    }

    /// Adds the numbers of another run.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            let sum = &mut self.0.entry(name.clone()).or_default().0;
            for (sum, number) in sum.iter_mut().zip(count.0) {
                *sum += number;
            }
        }
    }

    /// Reads the lines that [`fmt::Display`] writes, without the title.
    fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut tally = Self::default();
        for line in lines {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            let mut count = Count::default();
            for number in &mut count.0 {
                *number = words.next()?.parse().ok()?;
            }
            tally.0.insert(name.to_string(), count);
        }
        Some(tally)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "operation          succeeded  refused  nothing to do")?;
        for (name, Count([succeeded, refused, nothing])) in &self.0 {
            writeln!(f, "{name:18} {succeeded:9} {refused:8} {nothing:14}")?;
        }
        Ok(())
    }
}

/// First line of the report of a process whose operations all had expected results.
const GOOD: &str = "good";
/// The same for one whose operation failed; the index and the message follow.
const FAILED: &str = "failed";

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
) -> io::Result<Result<Tally, Failure>> {
    let result = run_process(setting, operations)?;
    let left = leaks.check();
    Ok(match (result, left) {
        (Ok(_), Err(message)) => Err(Failure {
            at: operations.len(),
            class: "leak".into(),
            message,
        }),
        (result, _) => result,
    })
}

fn run_process(setting: Setting, operations: &[Operation]) -> io::Result<Result<Tally, Failure>> {
    let progress = mapping::shared(1)?;
    let (mut reader, writer) = UnixStream::pair()?;
    let mut child = Child::spawn(|| {
        let report = match execute(setting, operations, &progress) {
            Ok(Ok(tally)) => format!("{GOOD}\n{tally}"),
            Ok(Err((at, message))) => format!("{FAILED}\n{at}\n{message}"),
            Err(error) => error.to_string(),
        };
        (&writer).write_all(report.as_bytes()).expect("the report");
    })?;
    let end = child.wait(LIMIT)?;
    drop(child);
    drop(writer);
    let mut report = String::new();
    reader.read_to_string(&mut report)?;

    let reached = progress.word(0).load(Ordering::Relaxed) as usize;
    let name_at = |at: usize| operations.get(at).map_or("the end".into(), Operation::name);
    let ended = |what: String| {
        let message = format!("{what} in {}", name_at(reached));
        Ok(Err(Failure {
            at: reached,
            class: message.clone(),
            message,
        }))
    };
    match end {
        None => return ended("the process hangs".into()),
        Some(End::Signalled(signal)) => return ended(format!("signal {signal}")),
        Some(End::Exited(_)) => {}
    }
    match report.split_once('\n') {
        Some((GOOD, rest)) => Tally::parse(rest.lines().skip(1))
            .map(Ok)
            .ok_or_else(|| io::Error::other(format!("not a tally: {rest:?}"))),
        Some((FAILED, rest)) => {
            let (at, message) = rest.split_once('\n').unwrap_or(("", rest));
            let at = at.parse().map_err(io::Error::other)?;
            Ok(Err(Failure {
                at,
                class: format!("an unexpected result of {}", name_at(at)),
                message: format!("{}: {message}", name_at(at)),
            }))
        }
        _ => Err(io::Error::other(format!(
            "at {}: {report}",
            name_at(reached)
        ))),
    }
}

/// Executes the operations. Returns the index of the first one whose result is not expected, and a
/// message.
fn execute(
    setting: Setting,
    operations: &[Operation],
    progress: &Bytes,
) -> io::Result<Result<Tally, (usize, String)>> {
    let mut machine = Machine::new(setting)?;
    let mut model = Model::new(setting);
    let mut tally = Tally::default();
    for (at, operation) in operations.iter().enumerate() {
        progress.word(0).store(at as u32, Ordering::Relaxed);
        let outcome = machine.execute(operation, &mut model)?;
        if let Err(message) = model.judge(operation, &outcome) {
            return Ok(Err((at, message)));
        }
        tally.count(operation, &outcome);
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
    fn a_tally_survives_the_journey() {
        let mut tally = Tally::default();
        tally.count(&Operation::Drain, &Outcome::Nothing);
        tally.count(&Operation::Drain, &Outcome::Done);
        tally.count(&Operation::Unmap { mapping: 1 }, &Outcome::Error(22));
        let text = tally.to_string();
        assert_eq!(Tally::parse(text.lines().skip(1)), Some(tally.clone()));
        tally.add(&tally.clone());
        assert_eq!(tally.0["Drain"], Count([2, 0, 2]));
        assert_eq!(tally.0["Unmap"], Count([0, 2, 0]));
    }
}
