// SPDX-License-Identifier: GPL-2.0

//! Measures the grant device with both drivers in turn, and prints each time
//! it took as a line of words; `qemu-test/bench` makes a table of them.
//!
//! ```text
//! sample <round> <driver> <line> <nanoseconds>
//! inside <line> <nanoseconds>                    in the hypercall, Rust driver
//! skipped <line> <reason>
//! ```
//!
//! Nobody else may use the device: the drivers are unloaded and loaded again.

#![forbid(unsafe_code)]

mod drivers;
mod lines;

use std::env;
use std::io;
use std::process::ExitCode;

use xen_guest::platform::Driver;
use xen_guest::platform::MemoryModel;
use xen_guest::tracing::Trace;

use crate::drivers::load;
use crate::lines::Line;
use crate::lines::Needs;
use crate::lines::Setup;
use crate::lines::LINES;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gntdev-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> io::Result<()> {
    let rounds = match env::args().nth(1) {
        None => 9,
        Some(text) => text
            .parse()
            .map_err(|_| io::Error::other(format!("not a number of rounds: {text:?}")))?,
    };
    let setup = Setup::new()?;
    let model = MemoryModel::current()?;
    let possible: Vec<&Line> = LINES
        .iter()
        .filter(|line| line.needs == Needs::Nothing || model == MemoryModel::Paravirtual)
        .collect();
    if model == MemoryModel::AutoTranslated {
        for line in LINES.iter().filter(|line| line.needs != Needs::Nothing) {
            println!(
                "skipped {} an auto-translated domain cannot map its own grants",
                line.name
            );
        }
    }

    for round in 0..rounds {
        // Which driver is first changes, so that neither gains by it.
        let mut order = [Driver::C, Driver::Rust];
        order.rotate_left(round % 2);
        for driver in order {
            load(driver)?;
            for line in &possible {
                // The first calls allocate what is kept, and fill the pools.
                (line.measure)(&setup, line.count.div_ceil(8))?;
                let nanoseconds = (line.measure)(&setup, line.count)?;
                println!("sample {round} {driver:?} {} {nanoseconds:.1}", line.name);
            }
        }
    }

    load(Driver::Rust)?;
    for line in &possible {
        println!("inside {} {:.1}", line.name, inside(line, &setup)?);
    }
    Ok(())
}

/// The part of the time that the driver spends in hypercalls, as its trace
/// events tell.
fn inside(line: &Line, setup: &Setup) -> io::Result<f64> {
    const EVENT: &str = "xen_gntdev_hypercall";
    let count = line.count.div_ceil(8);
    let trace = Trace::begin("xen_gntdev", &[EVENT], 4096)?;
    (line.measure)(setup, count)?;
    let mut sum = 0;
    for event in trace.events()? {
        let text = event.field("nanoseconds").unwrap_or_default();
        sum += text
            .parse::<u64>()
            .map_err(|_| io::Error::other(format!("no duration in {event:?}")))?;
    }
    Ok(sum as f64 / (count * line.units) as f64)
}
