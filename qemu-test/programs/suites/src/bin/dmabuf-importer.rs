// SPDX-License-Identifier: GPL-2.0

//! Dom0 has a device that takes bounce buffers import a dma-buf of a domU's grants. The domU runs
//! program `granter`; dom0 runs a kernel of the harness, booted with `swiotlb=force`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use suites::cases::dmabuf;
use suites::suite;

fn main() -> ExitCode {
    suite::run_on_domu("dmabuf-importer", &dmabuf::of_importer())
}
