// SPDX-License-Identifier: GPL-2.0

//! Dom0 maps the grants of a domU, which runs program `granter`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use suites::cases;
use suites::cases::own_grants;
use suites::cases::remote_domain;
use suites::suite;

fn main() -> ExitCode {
    let mut rules = cases::of_any_granter();
    rules.extend(own_grants::RULES);
    rules.extend(remote_domain::RULES);
    suite::run_on_domu("gntdev-domu", &rules)
}
