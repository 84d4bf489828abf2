// SPDX-License-Identifier: GPL-2.0

//! Dom0, whose table of mappings is small, maps grants of a domU, which runs program `granter`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use suites::cases::full_table;
use suites::suite;

fn main() -> ExitCode {
    let rules: Vec<_> = full_table::RULES.iter().collect();
    suite::run_on_domu("gntdev-full", &rules)
}
