// SPDX-License-Identifier: GPL-2.0

//! Fuzzer of `/dev/xen/gntdev`: random operations on the device, whose results a model predicts.
//!
//! ```text
//! choice     a seed names a sequence of operations; guess knows what the slots probably hold then
//! machine    executes an operation on the device        -> Outcome
//! model      knows which outcomes are allowed, and follows the one that it is told
//! run        a sequence in a process of its own, and what the process leaves behind
//! storm      threads that call the device at the same time
//! rounds     the sequences of many seeds, each of them a test
//! shrink     a short sequence that fails as the long one did
//! ```
//!
//! `gntdev-fuzz --seed S --operations N` runs in dom0. Program `granter` in the domU that `$DOMU`
//! names grants pages, and so does dom0 itself. The operations are divided into rounds, each with a
//! seed of its own, so that a failure is repeated by one round. Each round is a test of a suite.
//! Without options the suite is a short one with fixed seeds.

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
mod rounds;
mod run;
mod setting;
mod shrink;
mod state;
mod storm;
mod tally;

use std::env;
use std::io;
use std::process::ExitCode;

use guest_test::platform;
use guest_test::platform::Driver;
use guest_test::platform::MemoryModel;
use guest_test::process_memory;
use suites::remote::RemoteGranter;
use suites::suite::skip;

use crate::rounds::Peer;
use crate::setting::Setting;

const USAGE: &str = "usage: gntdev-fuzz [--seed S] [--operations N] [--threads T]";

const NAME: &str = "gntdev-fuzz";

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
    let options = options(arguments).ok_or_else(|| io::Error::other(USAGE))?;
    if Driver::current()? == Driver::C {
        return Ok(skip(NAME, "the model is that of the Rust driver"));
    }
    let setting = Setting {
        paravirtual: MemoryModel::current()? == MemoryModel::Paravirtual,
        maps_own_grants: platform::maps_own_grants()?,
        domu: RemoteGranter::domid_of_domu().ok(),
        has_process_memory: process_memory::is_there()?,
    };
    println!("# {NAME}: {setting:?}");
    let peer = Peer::new(setting)?;
    let thorough = !arguments.is_empty();
    let rounds = if thorough {
        rounds::of(options.seed, options.operations, options.threads)
    } else {
        rounds::short()
    };
    Ok(rounds::run(&rounds, peer, NAME, thorough))
}

fn options(arguments: &[String]) -> Option<Options> {
    let mut options = Options {
        seed: 1,
        operations: 10_000,
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
