// SPDX-License-Identifier: GPL-2.0

//! Short runs with fixed seeds, as a suite.

use std::process::ExitCode;
use std::time::Duration;

use guest_test::ktap;
use guest_test::ktap::Case;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::platform::Driver;
use suites::suite::skip;
use suites::suite::LeakCheck;

use crate::choice;
use crate::run;
use crate::run::ROUND;
use crate::setting::Setting;

const NAME: &str = "gntdev-fuzz";

/// Seeds of runs of one thread, each with [`ROUND`] operations.
const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// Numbers of threads that make [`ROUND`] calls each.
const THREADS: [usize; 2] = [2, 5];

/// Time limit of a run: for one that hangs.
const LIMIT: Duration = Duration::from_secs(900);

/// Tries all runs.
pub fn run(setting: Setting, driver: Driver) -> ExitCode {
    if driver == Driver::C {
        return skip(NAME, "the model is that of the Rust driver");
    }
    let alone = SEEDS.map(|seed| {
        case(
            format!("{ROUND} operations of seed {seed} have the documented results"),
            move || tried(setting, driver, seed, 1),
        )
    });
    let together = THREADS.map(|threads| {
        case(
            format!("{ROUND} calls of each of {threads} threads have documented errors"),
            move || tried(setting, driver, threads as u64, threads),
        )
    });
    let cases = alone.into_iter().chain(together).collect();
    ktap::run(NAME, cases, || Ok(()))
}

fn case<'a>(name: String, body: impl FnOnce() -> Verdict + 'a) -> Case<'a> {
    Case {
        name,
        limit: LIMIT,
        expected_failure: None,
        body: Box::new(body),
    }
}

fn tried(setting: Setting, driver: Driver, seed: u64, threads: usize) -> Verdict {
    let mut leaks = LeakCheck::new(driver)?;
    let result = if threads == 1 {
        run::run(setting, &choice::operations(seed, ROUND), &mut leaks)?
    } else {
        run::run_threads(setting, seed, threads, ROUND, &mut leaks)?
    };
    result
        .map(drop)
        .map_err(|failure| Stop::Fail(failure.message))
}
