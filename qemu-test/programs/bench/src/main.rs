// SPDX-License-Identifier: GPL-2.0

//! Measures the grant device and event channels, and prints each sample as a line of words;
//! `qemu-test/bench` makes tables of them.
//!
//! ```text
//! sample <round> <driver> <line> <nanoseconds>
//! inside <line> <nanoseconds>                    in the hypercall, Rust driver
//! skipped <line> <reason>
//! only-rust <line> <reason>
//! note <text>                                    for the log
//! ```
//!
//! `gntdev-bench drivers ROUNDS` measures both drivers in turn. No other program may use the
//! device: the drivers are unloaded and loaded again.
//!
//! `gntdev-bench exports` measures exports of grants of a domU with the loaded driver: the daemons
//! that a domU needs keep the device open. It is one round of many, each in a boot of its own.
//!
//! `gntdev-bench display ROUNDS` brings frames from granted pages to the screen, as dma-bufs and by
//! copies.
//!
//! `gntdev-bench events` measures event channels with the port operations of the running kernel,
//! which are chosen at boot. It is one round of many.
//!
//! `gntdev-bench attacked ROUNDS` measures them between dom0 and a domU while another domU misuses
//! its own.

#![forbid(unsafe_code)]

mod attacked;
mod display;
mod drivers;
mod events;
mod lines;

use std::env;
use std::io;
use std::iter;
use std::process::ExitCode;

use guest_test::platform::Driver;
use guest_test::platform::MemoryModel;
use guest_test::tracing::Trace;
use xen_grants::display::Card;

use crate::attacked::Domains;
use crate::attacked::Other;
use crate::display::Display;
use crate::display::Way;
use crate::display::CARD;
use crate::drivers::load;
use crate::lines::Line;
use crate::lines::Needs;
use crate::lines::Setup;
use crate::lines::LINES;

const USAGE: &str =
    "usage: gntdev-bench drivers ROUNDS | exports | display ROUNDS | events | attacked ROUNDS";

/// Reason why the C driver is not measured beside the other one.
const NO_OWN_EXPORT: &str = "Linux's C driver refuses exports in PV domains";

/// Number of samples in a round that is a boot of its own; the result is their median.
const SAMPLES_IN_A_BOOT: usize = 9;

/// Number of frames in a sample.
const FRAMES: usize = 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["drivers", rounds] => number(rounds).and_then(measure_drivers),
        ["exports"] => measure_exports(),
        ["events"] => measure_events(),
        ["attacked", rounds] => number(rounds).and_then(measure_attacked),
        ["display", rounds] => number(rounds).and_then(measure_display),
        _ => Err(io::Error::other(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gntdev-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> io::Result<usize> {
    text.parse()
        .map_err(|_| io::Error::other(format!("not a number of rounds: {text:?}")))
}

fn measure_drivers(rounds: usize) -> io::Result<()> {
    let setup = Setup::new()?;
    let model = MemoryModel::current()?;
    let (possible, impossible): (Vec<&Line>, Vec<&Line>) = LINES
        .iter()
        .partition(|line| line.needs == Needs::Nothing || model == MemoryModel::Paravirtual);
    for line in impossible {
        println!(
            "skipped {} an auto-translated domain cannot map its own grants",
            line.name
        );
    }
    for line in possible.iter().filter(|line| line.needs == Needs::Exports) {
        println!("only-rust {} {NO_OWN_EXPORT}", line.name);
    }

    for round in 0..rounds {
        // The order of the drivers alternates, so that neither gains by it.
        let mut order = [Driver::C, Driver::Rust];
        order.rotate_left(round % 2);
        for driver in order {
            load(driver)?;
            for line in &possible {
                if driver == Driver::C && line.needs == Needs::Exports {
                    continue;
                }
                warm_up(line, &setup)?;
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

fn measure_exports() -> io::Result<()> {
    let setup = Setup::of_domu()?;
    let driver = Driver::current()?;
    for line in LINES.iter().filter(|line| line.needs == Needs::Exports) {
        warm_up(line, &setup)?;
        let median = median_in_a_boot(|| (line.measure)(&setup, line.count))?;
        println!("sample 0 {driver:?} {} {median:.1}", line.name);
        if driver == Driver::Rust {
            println!("inside {} {:.1}", line.name, inside(line, &setup)?);
        }
    }
    Ok(())
}

fn measure_events() -> io::Result<()> {
    let driver = events::driver()?;
    for line in events::LINES {
        let mut measure = (line.open)()?;
        measure()?;
        let median = median_in_a_boot(measure)?;
        println!("sample 0 {driver} {} {median:.1}", line.name);
    }
    Ok(())
}

fn measure_attacked(rounds: usize) -> io::Result<()> {
    let driver = events::driver()?;
    let mut domains = Domains::start()?;
    domains.measure(Other::Idle)?;
    for round in 0..rounds {
        // The order alternates, so that no line gains by it.
        let mut order = Other::ALL;
        order.rotate_left(round % Other::ALL.len());
        for other in order {
            for (value, nanoseconds) in domains.measure(other)?.values {
                println!(
                    "sample {round} {driver} event-{}-{value} {nanoseconds}",
                    other.name()
                );
            }
        }
    }
    Ok(())
}

fn median_in_a_boot(measure: impl FnMut() -> io::Result<f64>) -> io::Result<f64> {
    let mut samples = iter::repeat_with(measure)
        .take(SAMPLES_IN_A_BOOT)
        .collect::<io::Result<Vec<f64>>>()?;
    samples.sort_by(f64::total_cmp);
    Ok(samples[SAMPLES_IN_A_BOOT / 2])
}

fn measure_display(rounds: usize) -> io::Result<()> {
    let card = Card::open(CARD)?;
    let display = Display::new(&card)?;
    let driver = Driver::current()?;
    for round in 0..rounds {
        let mut order = [Way::DmaBuf, Way::KeptDmaBuf, Way::Copy];
        order.rotate_left(round % 3);
        for way in order {
            display.measure(way, FRAMES.div_ceil(8))?;
            let nanoseconds = display.measure(way, FRAMES)?;
            println!("sample {round} {driver:?} {} {nanoseconds:.1}", way.name());
        }
    }
    Ok(())
}

/// Warms up: the first calls allocate memory that is kept, and fill pools.
fn warm_up(line: &Line, setup: &Setup) -> io::Result<()> {
    (line.measure)(setup, line.count.div_ceil(8)).map(drop)
}

/// Measures the time that the driver spends in hypercalls, by its trace events.
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
