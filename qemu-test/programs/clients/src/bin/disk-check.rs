// SPDX-License-Identifier: GPL-2.0

//! `disk-check DEVICE MIB SEED` fills the start of a disk with a pattern and reads it back, past
//! all caches. The disk's former contents are lost.

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clients::blocks;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("disk-check: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> io::Result<()> {
    let usage = || io::Error::other("these are my arguments: DEVICE MIB SEED");
    let [device, mib, seed] = words else {
        return Err(usage());
    };
    let mib = mib.parse().map_err(|_| usage())?;
    let seed = seed.parse().map_err(|_| usage())?;
    blocks::write(Path::new(device), mib, seed)?;
    blocks::check(Path::new(device), mib, seed)
}
