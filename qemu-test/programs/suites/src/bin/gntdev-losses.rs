// SPDX-License-Identifier: GPL-2.0

//! Ends of mappings at which a grant stays mapped, on a kernel that injects failures. Losses of
//! these rules last until the machine ends.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use suites::cases::faults;
use suites::suite;
use suites::suite::Rule;

fn main() -> ExitCode {
    let rules: Vec<&Rule> = faults::ends::RULES.iter().collect();
    suite::run_losing_on_domu("gntdev-losses", &rules)
}
