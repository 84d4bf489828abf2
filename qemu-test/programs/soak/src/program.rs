// SPDX-License-Identifier: GPL-2.0

//! Programs of the suites, and how much each has done, by its output.

use std::io;
use std::process::Command;
use std::time::Duration;

use clients::command;
use suites::suite::BESIDE_OTHERS;

/// Limit of a program, for one that hangs. Each rule and each wait in it has its own.
const LIMIT: Duration = Duration::from_secs(2 * 3600);

/// Lines of the output of a program that failed.
const SHOWN: usize = 30;

/// Runs a program that works with domain `domu`, and returns what it printed.
pub fn run(domu: u32, name: &str, arguments: &[&str]) -> io::Result<String> {
    let mut program = Command::new(name);
    program.args(arguments);
    program
        .env("DOMU", domu.to_string())
        .env(BESIDE_OTHERS, "1");
    let ended = command::run(&mut program, LIMIT)?;
    if ended.status != 0 {
        let message = format!(
            "{name} {arguments:?} ended with status {}:\n{}",
            ended.status,
            end_of(&ended.output)
        );
        return Err(io::Error::other(message));
    }
    Ok(ended.output)
}

/// As [`run`], for a suite. Returns the number of rules that passed, at least one: a part of a name
/// that no rule has would select none.
pub fn run_suite(domu: u32, name: &str, wanted: &str) -> io::Result<u64> {
    let output = run(domu, name, &[wanted])?;
    match passed(&output) {
        0 => Err(io::Error::other(format!("{name} has no rule {wanted:?}"))),
        count => Ok(count),
    }
}

fn end_of(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

/// Number of rules that a suite says have passed; those that were skipped have not.
pub fn passed(output: &str) -> u64 {
    let is_passed = |line: &&str| {
        line.starts_with("ok ") && !line.contains("# SKIP") && !line.contains("# XFAIL")
    };
    output.lines().filter(is_passed).count() as u64
}

/// Number of events that `event-storm` says were received by both ends. Its sums go on from line to
/// line, so the last one of each sender counts.
pub fn events(output: &str) -> io::Result<u64> {
    ["from Dom0: ", "from Domu: "]
        .into_iter()
        .map(|sender| {
            let (_, sums) = output
                .lines()
                .rev()
                .find_map(|line| line.split_once(sender))
                .ok_or_else(|| io::Error::other(format!("no sums {sender:?}: {output}")))?;
            sums.strip_suffix(" received")
                .and_then(|sums| sums.rsplit(' ').next()?.parse::<u64>().ok())
                .ok_or_else(|| io::Error::other(format!("not sums of events: {sums:?}")))
        })
        .sum()
}

/// Number of operations, or of calls of several threads, in the rounds of `gntdev-fuzz` that have
/// passed.
pub fn operations(output: &str) -> io::Result<u64> {
    let of_round = |line: &str| -> Option<u64> {
        let mut words = line.strip_prefix("ok ")?.split(' ').skip(1);
        let count = words.next()?.parse().ok()?;
        matches!(words.next()?, "operations" | "calls").then_some(count)
    };
    match output.lines().filter_map(of_round).sum() {
        0 => Err(io::Error::other(format!(
            "no number of operations: {output}"
        ))),
        sum => Ok(sum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORM: &str = "\
KTAP version 1
# Subtest: event-storm
1..4
ok 1 2 vCPUs: both kernels run the port operations asked for # 0.3 s
# 1500 ports, from Dom0: 1500 bursts, 1500 events sent, 1500 received
# 1500 ports, from Domu: 1500 bursts, 1500 events sent, 1500 received
ok 2 events from both sides are counted exactly # 3.6 s
# 1500 ports, from Dom0: 98891 bursts, 191724 events sent, 119889 received
# 1500 ports, from Domu: 96414 bursts, 176560 events sent, 114764 received
ok 3 bursts from both sides lose and invent nothing # 6.3 s
ok 4 the 2-level ABI ends before port 4096 # SKIP the kernels run the FIFO ABI
";

    #[test]
    fn rules_that_passed_are_counted() {
        assert_eq!(passed(STORM), 3);
        assert_eq!(passed("not ok 1 a rule\nok 2 known # XFAIL reason\n"), 0);
    }

    #[test]
    fn the_last_sums_of_both_senders_are_added() {
        assert_eq!(events(STORM).unwrap(), 119_889 + 114_764);
        assert!(events(&STORM.replace("from Domu", "from")).is_err());
        assert!(events(&STORM.replace(" received", "")).is_err());
    }

    #[test]
    fn operations_are_those_of_rounds_that_have_passed() {
        let output = "\
1..3
ok 1 1000 operations of seed 101 have the documented results # 1.0 s
ok 2 400 calls of seed 151 by 4 threads have documented errors # 2.0 s
not ok 3 1000 operations of seed 102 have the documented results
";
        assert_eq!(operations(output).unwrap(), 1400);
        assert!(operations("1..1\n3000 operations\n").is_err());
    }
}
