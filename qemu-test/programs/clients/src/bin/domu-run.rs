// SPDX-License-Identifier: GPL-2.0

//! `domu-run COMMAND` runs a short command in the domU that the harness started, prints what it
//! printed and ends with its status.

#![forbid(unsafe_code)]

use std::env;
use std::process::ExitCode;

use clients::agent::Agent;
use guest_test::ktap::FIRST_CASE;
use suites::remote::RemoteGranter;

fn main() -> ExitCode {
    let mut command = env::args().skip(1).collect::<Vec<_>>().join(" ");
    if let Ok(first) = env::var(FIRST_CASE) {
        command = format!("{FIRST_CASE}={first} {command}");
    }
    let ended = RemoteGranter::domid_of_domu()
        .and_then(Agent::of)
        .and_then(|agent| agent.try_run(&command));
    match ended {
        Ok(ended) => {
            print!("{}", ended.output);
            ExitCode::from(u8::try_from(ended.status).unwrap_or(u8::MAX))
        }
        Err(error) => {
            eprintln!("domu-run: {error}");
            ExitCode::FAILURE
        }
    }
}
