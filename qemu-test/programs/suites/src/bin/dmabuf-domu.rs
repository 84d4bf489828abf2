// SPDX-License-Identifier: GPL-2.0

//! Dom0 makes dma-bufs of a domU's grants, and grants dma-bufs to the domU, which runs program
//! `granter`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use suites::cases::dmabuf;
use suites::suite;

fn main() -> ExitCode {
    suite::run_on_domu("dmabuf-domu", &dmabuf::of_any_granter())
}
