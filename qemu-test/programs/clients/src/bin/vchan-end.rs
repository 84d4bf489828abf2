// SPDX-License-Identifier: GPL-2.0

//! One end of a stream between domains, on libxenvchan:
//!
//! ```text
//! vchan-end serve|connect DOMID PATH exchange MIB SEED
//! vchan-end serve|connect DOMID PATH pour
//! ```
//!
//! `exchange` sends MIB mebibytes and receives as much from the other end (the server sends first),
//! and fails if these are not what the other end sends. `pour` sends (server) or receives (client)
//! until the other end has gone, and says so. Both report to the node of xenstore that
//! `VCHAN_REPORT` names.

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::process::ExitCode;

use clients::limit::PATIENCE;
use clients::pattern;
use clients::vchan_report;
use clients::vchan_report::Report;
use xen_grants::vchan::Peer;
use xen_grants::vchan::Vchan;

const MIB: usize = 1 << 20;

/// The size of each ring: so much smaller than the data that it wraps often.
const RING: usize = 64 * 1024;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Ok(node) = env::var(vchan_report::NODE) else {
        eprintln!("vchan-end: ${} names no node", vchan_report::NODE);
        return ExitCode::FAILURE;
    };
    let report = match run(&words, &node) {
        Ok(message) => Report::Done(message),
        Err(error) => Report::Failed(error.to_string()),
    };
    match report.write(&node) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vchan-end: {node}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str], node: &str) -> io::Result<String> {
    let usage = || io::Error::other(format!("not the arguments of this program: {words:?}"));
    let [role, domid, path, rest @ ..] = words else {
        return Err(usage());
    };
    let domid = domid.parse().map_err(|_| usage())?;
    let serves = match *role {
        "serve" => true,
        "connect" => false,
        _ => return Err(usage()),
    };
    let mut stream = match serves {
        true => Vchan::serve(domid, path, RING)?,
        false => Vchan::connect(domid, path)?,
    };
    if !stream.wait_for(Peer::Connected, PATIENCE)? {
        return Err(io::Error::other("the other end did not come"));
    }
    Report::Connected.write(node)?;
    match rest {
        ["exchange", mib, seed] => {
            let mib = mib.parse().map_err(|_| usage())?;
            let seed = seed.parse().map_err(|_| usage())?;
            exchange(&mut stream, serves, mib, seed)
        }
        ["pour"] => pour(&mut stream, serves),
        _ => Err(usage()),
    }
}

fn exchange(stream: &mut Vchan, serves: bool, mib: usize, seed: u32) -> io::Result<String> {
    // Each direction has a pattern of its own.
    let (there, back) = (seed, seed.wrapping_add(1000));
    if serves {
        send(stream, mib, there)?;
        receive(stream, mib, back)?;
    } else {
        receive(stream, mib, there)?;
        send(stream, mib, back)?;
    }
    // The end that closes first takes the rings away from the other, which may still read.
    if serves {
        stream.wait_for(Peer::Gone, PATIENCE)?;
    }
    Ok(format!("{mib} MiB each way"))
}

fn send(stream: &mut Vchan, mib: usize, seed: u32) -> io::Result<()> {
    let mut data = vec![0; MIB];
    for number in 0..mib {
        pattern::fill(&mut data, seed.wrapping_add(number as u32));
        stream.write_all(&data)?;
    }
    Ok(())
}

fn receive(stream: &mut Vchan, mib: usize, seed: u32) -> io::Result<()> {
    let mut data = vec![0; MIB];
    for number in 0..mib {
        let mut filled = 0;
        while filled < MIB {
            filled += stream.read(&mut data[filled..])?;
        }
        let seed = seed.wrapping_add(number as u32);
        if let Some(at) = pattern::first_difference(&data, seed) {
            let message = format!("byte {at} of MiB {number} is not what was sent");
            return Err(io::Error::other(message));
        }
    }
    Ok(())
}

fn pour(stream: &mut Vchan, serves: bool) -> io::Result<String> {
    let mut data = vec![0; MIB / 16];
    let mut bytes = 0;
    loop {
        let result = match serves {
            true => stream.write_all(&data).map(|()| data.len()),
            false => stream.read(&mut data),
        };
        match result {
            Ok(count) => bytes += count,
            Err(_) => break,
        }
    }
    if stream.peer() != Peer::Gone {
        return Err(io::Error::other(
            "the stream broke, but the other end is there",
        ));
    }
    Ok(format!("the other end has gone after {} KiB", bytes / 1024))
}
