// SPDX-License-Identifier: GPL-2.0

//! Everything at the same time for hours: the programs of the suites run side by side in dom0, with
//! domains that come and go. At the end as much is in use as at the start.
//!
//! ```text
//! work      lanes, which do different work at the same time; a round is once each
//!   peer      a domU that lives for a round
//!   dying     a domU's disk, and its death amid I/O
//!   program   a program of the suites, and how much it has done
//! tally     how much was done, by kind of work
//! figures   what is in use, by the counters of the kernel, of Xen and of the toolstack
//! bound     by how much a figure may change, and why
//! record    each figure at the start, at the end, its least and its greatest value
//! end       the harness's word that it is enough
//! ```
//!
//! `gntdev-soak --seed S` runs in dom0 beside the domU that `$DOMU` names, which lives all the
//! time. Rounds begin until the harness says that it is enough. With `--plant` one of the domU's
//! grants stays mapped from round 1 on, which the program must report.

#![forbid(unsafe_code)]

mod bound;
mod dying;
mod end;
mod figures;
mod options;
mod peer;
mod program;
mod record;
mod tally;
mod work;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clients::limit::PATIENCE;
use guest_test::gntdev::Gntdev;
use suites::remote::RemoteGranter;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;

use crate::end::End;
use crate::options::Options;
use crate::record::Record;
use crate::tally::Tally;

/// The round in which a leak is planted.
const PLANTED: u64 = 1;

/// Limit of the wait for work in the background between two rounds.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let options = match Options::of_program() {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("gntdev-soak: {usage}");
            return ExitCode::FAILURE;
        }
    };
    match soak(&options) {
        Ok(failures) if failures.is_empty() => {
            println!("no failure");
            ExitCode::SUCCESS
        }
        Ok(failures) => {
            println!("{} failures:", failures.len());
            for failure in failures {
                println!("FAILURE: {failure}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("FAILURE: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs rounds until the harness says that it is enough. Returns what failed.
fn soak(options: &Options) -> io::Result<Vec<String>> {
    let setting = work::Setting {
        seed: options.seed,
        lane: options.lane.clone(),
        witness: RemoteGranter::domid_of_domu()?,
        end: End::listen()?,
    };
    work::prepare(&setting)?;
    let mut tally = Tally::default();
    println!("round 0 makes what is made once; the figures of the start are those after it");
    let mut failures = round(&setting, 0, &mut tally);
    let mut record = Record::new(figures::settled_first(SETTLE_LIMIT)?);
    print!("{record}");

    let mut number = 0;
    let mut planted = None;
    let mut reported = Vec::new();
    while !setting.end.is_here() {
        number += 1;
        failures.extend(round(&setting, number, &mut tally));
        if options.plant && number == PLANTED {
            planted = Some(plant(setting.witness)?);
            println!(
                "planted: a grant of domain {} stays mapped",
                setting.witness
            );
        }
        let changes = record.add(figures::settled(SETTLE_LIMIT, |now| {
            record.beyond(now).is_empty()
        })?);
        match changes.is_empty() {
            true => println!("round {number}: all figures within their bounds"),
            false => println!("round {number}: {}", changes.join("; ")),
        }
        reported = changes;
    }

    if number == 0 {
        failures.push("the time ended in round 0, so nothing was compared".into());
    }
    if options.plant && planted.is_none() {
        failures.push("no leak was planted".into());
    }
    // Rests of the last round may still go away.
    let changes = record.add(figures::settled(PATIENCE, |now| {
        record.beyond(now).is_empty()
    })?);
    if changes != reported {
        println!("the end: {}", changes.join("; "));
    }
    failures.extend(changes);
    drop(planted);
    println!();
    println!("{number} rounds after round 0");
    println!();
    print!("{tally}");
    println!();
    print!("{record}");
    Ok(failures)
}

/// Runs all lanes at the same time. Returns what failed.
fn round(setting: &work::Setting, number: u64, tally: &mut Tally) -> Vec<String> {
    let mut failures = Vec::new();
    work::round(setting, number, |lane, done, failure| {
        tally.add(&done);
        match failure {
            None => println!("round {number}, {lane}: {done}"),
            Some(failure) => {
                println!("round {number}, {lane}: FAILURE: {failure}");
                failures.push(format!("round {number}, {lane}: {failure}"));
            }
        }
    });
    failures
}

/// A grant that stays mapped: that of the first ring of domain `domid`.
fn plant(domid: u32) -> io::Result<(Gntdev, Mapping)> {
    let device = Gntdev::open()?;
    let index = device.insert(&[GrantRef {
        domid,
        reference: 0,
    }])?;
    let mapping = device.map(index, 1, Protection::Read)?;
    Ok((device, mapping))
}
