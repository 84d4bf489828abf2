// SPDX-License-Identifier: GPL-2.0

//! This domain's processors, while a program of the suites has events. `event-cpus cycle COUNT`
//! takes them away and gives them back, COUNT times; `event-cpus count` tells how many of the
//! events came to each.

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
        _ => Err(io::Error::other("usage: event-cpus cycle COUNT | count")),
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
