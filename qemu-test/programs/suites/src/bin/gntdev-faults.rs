// SPDX-License-Identifier: GPL-2.0

//! Calls of the device with a failure at each point where the driver can fail, on a kernel that
//! injects failures. Prints the number of points of each call, and the results.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use suites::cases::faults;
use suites::suite;
use suites::suite::Rule;

fn main() -> ExitCode {
    let rules: Vec<&Rule> = [faults::calls::RULES, faults::kernel_users::RULES]
        .into_iter()
        .flatten()
        .collect();
    suite::run_on_domu("gntdev-faults", &rules)
}
