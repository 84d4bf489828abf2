// SPDX-License-Identifier: GPL-2.0

//! `event-cpus COUNT` takes this domain's processors away and gives them back,
//! COUNT times, while a program of the suites has events.

#![forbid(unsafe_code)]

use std::env;
use std::process::ExitCode;

use events::hotplug;

fn main() -> ExitCode {
    let count = env::args().nth(1).and_then(|text| text.parse().ok());
    let Some(count) = count else {
        eprintln!("usage: event-cpus COUNT");
        return ExitCode::FAILURE;
    };
    match hotplug::cycle(count) {
        Ok(events) => {
            println!("{events}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("event-cpus: {error}");
            ExitCode::FAILURE
        }
    }
}
