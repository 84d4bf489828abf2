// SPDX-License-Identifier: GPL-2.0

//! `event-peer COUNT TOKEN` runs in a domU: offers COUNT ports to dom0, and does with them what
//! dom0's suites order.

#![forbid(unsafe_code)]

use std::env;
use std::process::ExitCode;

use events::peer;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [count, token] = &arguments[..] else {
        eprintln!("usage: event-peer COUNT TOKEN");
        return ExitCode::FAILURE;
    };
    let Ok(count) = count.parse() else {
        eprintln!("event-peer: not a number of ports: {count:?}");
        return ExitCode::FAILURE;
    };
    match peer::serve(count, token) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("event-peer: {error}");
            ExitCode::FAILURE
        }
    }
}
