// SPDX-License-Identifier: GPL-2.0

//! This domain's processors, while a program of the suites has events. Commands:
//!
//! ```text
//! cycle COUNT      takes them away and gives them back, COUNT times
//! count            prints how many of the events came to each
//! strand PORT...   takes all but the first away, and leaves events on these ports to them
//! fail             lets those that are away fail to come back
//! return           gives those that are away back
//! ```

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::process::ExitCode;

use events::hotplug;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["cycle", count] => cycle(count),
        ["count"] => count(),
        ["strand", ref ports @ ..] => strand(ports),
        ["fail"] => hotplug::fail_to_return().map(|()| String::new()),
        ["return"] => hotplug::give_back().map(|()| String::new()),
        _ => Err(io::Error::other(
            "usage: event-cpus cycle COUNT | count | strand PORT... | fail | return",
        )),
    };
    match result {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("event-cpus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn cycle(count: &str) -> io::Result<String> {
    let count = count.parse().map_err(io::Error::other)?;
    hotplug::cycle(count).map(|events| events.to_string())
}

fn count() -> io::Result<String> {
    let counts = hotplug::events_by_processor()?;
    let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
    Ok(counts.join(" "))
}

fn strand(ports: &[&str]) -> io::Result<String> {
    let ports: Result<Vec<u32>, _> = ports.iter().map(|port| port.parse()).collect();
    hotplug::strand(&ports.map_err(io::Error::other)?)?;
    Ok(String::new())
}
