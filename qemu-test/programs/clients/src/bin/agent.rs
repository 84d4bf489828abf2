// SPDX-License-Identifier: GPL-2.0

//! Runs in a domU and does what dom0 tells it to.

#![forbid(unsafe_code)]

use std::io;
use std::process::Command;
use std::process::ExitCode;
use std::time::Duration;

use clients::agent;
use clients::command;
use clients::command::Ended;
use clients::limit::PATIENCE;
use xen_grants::xenstore::Xenstore;

/// As long as any test run may last; the domU ends before.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// The status of a command that could not be run, or not to its end.
const NOT_RUN: i32 = 125;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let store = Xenstore::open()?;
    let mut served = String::new();
    loop {
        let (id, command) = store.wait_for(agent::REQUEST, LIFE, |request| {
            let (id, command) = agent::parse_request(request)?;
            (id != served).then(|| (id.to_string(), command.to_string()))
        })?;
        let ended = command::run(Command::new("/bin/sh").args(["-c", &command]), PATIENCE)
            .unwrap_or_else(|error| Ended {
                status: NOT_RUN,
                output: error.to_string(),
            });
        store.write(agent::RESPONSE, &agent::response(&id, &ended))?;
        served = id;
    }
}
