// SPDX-License-Identifier: GPL-2.0

//! Dom0 has a graphics card import a dma-buf of a domU's grants, and grants what the card exports
//! to the domU, which runs program `granter`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use suites::cases::dmabuf;
use suites::suite;

fn main() -> ExitCode {
    suite::run_on_domu("dmabuf-card", &dmabuf::of_card())
}
