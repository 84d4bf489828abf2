// SPDX-License-Identifier: GPL-2.0

//! Dom0 makes dma-bufs of a domU's grants, and grants dma-bufs to the domU,
//! which runs program `granter`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use suites::cases::dmabuf;
use suites::remote::RemoteGranter;
use suites::suite;
use suites::world::Source;

const NAME: &str = "dmabuf-domu";

fn main() -> ExitCode {
    let domid = match RemoteGranter::domid_of_domu() {
        Ok(domid) => domid,
        Err(error) => {
            println!("Bail out! {NAME} needs a domU: {error}");
            return ExitCode::FAILURE;
        }
    };
    suite::run(NAME, Source::Domu(domid), &dmabuf::of_any_granter())
}
