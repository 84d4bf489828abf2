// SPDX-License-Identifier: GPL-2.0

//! Fuzzer of `/dev/xen/gntdev`: random operations on the device, whose results a model predicts.
//!
//! ```text
//! choice     a seed names a sequence of operations; guess knows what the slots probably hold then
//! machine    executes an operation on the device        -> Outcome
//! model      knows which outcomes are allowed, and follows the one that it is told
//! run        a sequence in a process of its own, and what the process leaves behind
//! storm      threads that call the device at the same time
//! shrink     a short sequence that fails as the long one did
//! ```
//!
//! `gntdev-fuzz --seed S --operations N` runs in dom0. Program `granter` in the domU that `$DOMU`
//! names grants pages, and so does dom0 itself. The operations are divided into rounds, each with a
//! seed of its own, so that a failure is repeated by one round. Without options the program is a
//! suite of a few rounds.

#![forbid(unsafe_code)]

mod argument;
mod choice;
mod copy;
mod domu;
mod grants;
mod guess;
mod machine;
mod model;
mod operation;
mod outcome;
mod run;
mod setting;
mod shrink;
mod state;
mod storm;
mod suite;
mod tally;

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use guest_test::platform::Driver;
use guest_test::platform::MemoryModel;
use guest_test::process_memory;
use suites::remote::RemoteGranter;
use suites::suite::LeakCheck;

use crate::operation::Operation;
use crate::run::Failure;
use crate::run::Report;
use crate::run::ROUND;
use crate::setting::Setting;
use crate::tally::Tally;

const USAGE: &str = "usage: gntdev-fuzz [--seed S] [--operations N] [--threads T]";

/// Number of rounds between two lines of progress.
const PROGRESS: usize = 10;

/// Time limit for making a failing round shorter.
const SHRINK_LIMIT: Duration = Duration::from_secs(900);

/// Arguments of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    seed: u64,
    operations: usize,
    threads: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match execute(&arguments) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("gntdev-fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: &[String]) -> io::Result<ExitCode> {
    let driver = Driver::current()?;
    let setting = Setting {
        paravirtual: MemoryModel::current()? == MemoryModel::Paravirtual,
        domu: RemoteGranter::domid_of_domu().ok(),
        has_process_memory: process_memory::is_there()?,
    };
    if arguments.is_empty() {
        return Ok(suite::run(setting, driver));
    }
    let options = options(arguments).ok_or_else(|| io::Error::other(USAGE))?;
    if driver == Driver::C {
        return Err(io::Error::other("the model is that of the Rust driver"));
    }
    let leaks = LeakCheck::new(driver)?;
    let is_good = fuzz(options, Peer { setting, leaks })?;
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn options(arguments: &[String]) -> Option<Options> {
    let mut options = Options {
        seed: 1,
        operations: 10 * ROUND,
        threads: 1,
    };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            return None;
        };
        match name.as_str() {
            "--seed" => options.seed = value.parse().ok()?,
            "--operations" => options.operations = value.parse().ok()?,
            "--threads" => options.threads = value.parse().ok()?,
            _ => return None,
        }
    }
    (options.threads != 0).then_some(options)
}

/// The domU of the rounds, and what was there before it.
struct Peer {
    setting: Setting,
    leaks: LeakCheck,
}

impl Peer {
    /// Runs `operations`, and starts another domU if they have ended this one.
    fn run(&mut self, operations: &[Operation]) -> io::Result<Report> {
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

/// Runs all rounds, up to the first that fails. Returns true if none does.
fn fuzz(options: Options, mut peer: Peer) -> io::Result<bool> {
    let Options {
        seed,
        operations,
        threads,
    } = options;
    println!("seed {seed}, {operations} operations, {:?}", peer.setting);
    let mut tally = Tally::default();
    for (round, first) in (0..operations).step_by(ROUND).enumerate() {
        let seed = seed.wrapping_add(round as u64);
        let count = ROUND.min(operations - first);
        let result = if threads == 1 {
            peer.run(&choice::operations(seed, count))?
        } else {
            let calls = count.div_ceil(threads);
            run::run_threads(peer.setting, seed, threads, calls, &mut peer.leaks)?
        };
        match result {
            Ok(counts) => tally.add(&counts),
            Err(failure) => {
                println!("FAILURE: {}", failure.message);
                println!(
                    "repeat: gntdev-fuzz --seed {seed} --operations {count} --threads {threads}"
                );
                if threads == 1 {
                    shorten(&choice::operations(seed, count), &failure, &mut peer);
                }
                return Ok(false);
            }
        }
        if round % PROGRESS == PROGRESS - 1 {
            println!("{} operations", first + count);
        }
    }
    print!("{tally}");
    println!("{operations} operations, no failure");
    Ok(true)
}

/// Prints the shortest sequence of operations that repeats a failure.
fn shorten(chosen: &[Operation], failure: &Failure, peer: &mut Peer) {
    let Failure { at, class, .. } = failure;
    let mut repeats = |part: &[Operation]| {
        // Progress, for the person and for the limit of silence of the boot.
        println!("# {} operations", part.len());
        match peer.run(part) {
            Ok(Err(other)) => other.class == *class,
            Ok(Ok(_)) => false,
            Err(error) => {
                println!("# a shorter run could not be tried: {error}");
                false
            }
        }
    };
    let needed = &chosen[..at.saturating_add(1).min(chosen.len())];
    if !repeats(needed) {
        println!("the failure does not occur again with the same operations");
        return;
    }
    let deadline = Instant::now() + SHRINK_LIMIT;
    let left = shrink::shrink(needed, |part| Instant::now() < deadline && repeats(part));
    println!("{} operations fail in the same way, {class}:", left.len());
    for operation in &left {
        println!("    {operation:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_defaults_and_values() {
        let parse = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
            options(&words)
        };
        let default = parse(&[]).unwrap();
        assert_eq!(default.seed, 1);
        let options = parse(&["--operations", "7", "--seed", "3"]).unwrap();
        assert_eq!(
            options,
            Options {
                seed: 3,
                operations: 7,
                threads: 1
            }
        );
        assert_eq!(parse(&["--seed"]), None);
        assert_eq!(parse(&["--seed", "x"]), None);
        assert_eq!(parse(&["--threads", "0"]), None);
        assert_eq!(parse(&["--rounds", "2"]), None);
    }
}
