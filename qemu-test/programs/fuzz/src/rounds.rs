// SPDX-License-Identifier: GPL-2.0

//! Rounds, each of them a test: operations that one seed names, in processes of their own.

use std::io;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use guest_test::ktap;
use guest_test::ktap::Results;
use guest_test::ktap::Stop;
use guest_test::platform::Driver;
use suites::suite::LeakCheck;

use crate::choice;
use crate::domu;
use crate::operation::Operation;
use crate::run;
use crate::run::Failure;
use crate::run::Report;
use crate::setting::Setting;
use crate::shrink;

/// Number of operations of a round.
const ROUND: usize = 1000;

/// Time limit for making a failing round shorter.
const SHRINK_LIMIT: Duration = Duration::from_secs(900);

/// A round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Name of the operations.
    pub seed: u64,
    /// Number of operations, or of calls of all threads.
    pub operations: usize,
    /// Number of threads.
    pub threads: usize,
}

impl Round {
    /// Returns the text of the test.
    fn name(self) -> String {
        let Self {
            seed,
            operations,
            threads,
        } = self;
        if threads == 1 {
            format!("{operations} operations of seed {seed} have the documented results")
        } else {
            format!("{operations} calls of seed {seed} by {threads} threads have documented errors")
        }
    }
}

/// Returns the rounds of a short run with fixed seeds: alone and with threads.
pub fn short() -> Vec<Round> {
    let round = |seed, threads| Round {
        seed,
        operations: threads * ROUND,
        threads,
    };
    let alone = [1, 2, 3, 4].map(|seed| round(seed, 1));
    let together = [2, 5].map(|threads| round(threads as u64, threads));
    alone.into_iter().chain(together).collect()
}

/// Returns the rounds of `operations` operations, each with the seed after that of the last one.
pub fn of(seed: u64, operations: usize, threads: usize) -> Vec<Round> {
    (0..operations)
        .step_by(ROUND)
        .zip(0..)
        .map(|(first, number)| Round {
            seed: seed.wrapping_add(number),
            operations: ROUND.min(operations - first),
            threads,
        })
        .collect()
}

/// Runs `rounds` and prints their results. With `thorough` the first failure ends them, after its
/// round was made as short as possible.
pub fn run(rounds: &[Round], mut peer: Peer, name: &str, thorough: bool) -> ExitCode {
    let mut results = Results::begin(name, rounds.len());
    for round in rounds.iter().skip(results.done()) {
        let begin = Instant::now();
        let result = peer.run(*round);
        let verdict = match &result {
            Ok(Ok(tally)) => {
                ktap::print_diagnostic(&tally.to_string());
                Ok(())
            }
            Ok(Err(failure)) => Err(Stop::Fail(failure.message.clone())),
            Err(error) => Err(Stop::Fail(format!("not done: {error}"))),
        };
        let has_failed = verdict.is_err();
        // The result comes before more runs: a machine that dies in them has a failed test.
        results.print(&round.name(), verdict, None, begin.elapsed());
        if has_failed && thorough {
            if let (Ok(Err(failure)), 1) = (result, round.threads) {
                shorten(*round, &failure, &mut peer);
            }
            println!("Bail out! the rounds after one that failed are left out");
            break;
        }
    }
    results.finish()
}

/// The domU of the rounds, and what was there before them.
pub struct Peer {
    setting: Setting,
    leaks: LeakCheck,
}

impl Peer {
    /// Reads what there is.
    ///
    /// # Errors
    ///
    /// Those of the driver's totals and of Xen's table of grants.
    pub fn new(setting: Setting) -> io::Result<Self> {
        let leaks = LeakCheck::new(Driver::Rust)?;
        Ok(Self { setting, leaks })
    }

    fn run(&mut self, round: Round) -> io::Result<Report> {
        if round.threads == 1 {
            return self.execute(&choice::operations(round.seed, round.operations));
        }
        let calls = round.operations.div_ceil(round.threads);
        run::run_threads(
            self.setting,
            round.seed,
            round.threads,
            calls,
            &mut self.leaks,
        )
    }

    /// Executes `operations`, and starts another domU if they have ended this one.
    fn execute(&mut self, operations: &[Operation]) -> io::Result<Report> {
        let report = run::run(self.setting, operations, &mut self.leaks)?;
        if let Some(domid) = self.setting.domu {
            if operations.contains(&Operation::EndDomu) && !domu::is_there(domid)? {
                self.setting.domu = Some(domu::start()?);
                self.leaks = LeakCheck::new(Driver::Rust)?;
            }
        }
        Ok(report)
    }
}

/// Prints the shortest sequence of operations that repeats a failure.
fn shorten(round: Round, failure: &Failure, peer: &mut Peer) {
    let Failure { at, class, .. } = failure;
    let chosen = choice::operations(round.seed, round.operations);
    let mut repeats = |part: &[Operation]| {
        // Progress, for the person and for the limit of silence of the boot.
        println!("{} operations are tried", part.len());
        match peer.execute(part) {
            Ok(Err(other)) => other.class == *class,
            Ok(Ok(_)) => false,
            Err(error) => {
                println!("they could not be tried: {error}");
                false
            }
        }
    };
    let needed = &chosen[..at.saturating_add(1).min(chosen.len())];
    if !repeats(needed) {
        ktap::print_diagnostic("the failure does not occur again with the same operations");
        return;
    }
    let deadline = Instant::now() + SHRINK_LIMIT;
    let left = shrink::shrink(needed, |part| Instant::now() < deadline && repeats(part));
    let count = left.len();
    ktap::print_diagnostic(&format!(
        "{count} operations fail in the same way, {class}:"
    ));
    for operation in &left {
        ktap::print_diagnostic(&format!("    {operation:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_round_has_the_rest() {
        let rounds = of(7, 2500, 1);
        let parts: Vec<_> = rounds
            .iter()
            .map(|round| (round.seed, round.operations))
            .collect();
        assert_eq!(parts, [(7, 1000), (8, 1000), (9, 500)]);
    }

    #[test]
    fn each_round_has_its_own_name() {
        let mut names: Vec<_> = short().into_iter().map(Round::name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
