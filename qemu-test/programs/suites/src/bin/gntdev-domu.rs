// SPDX-License-Identifier: GPL-2.0

//! Dom0 maps the grants of a domU, which runs program `granter`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use suites::cases;
use suites::cases::remote_domain;
use suites::remote::RemoteGranter;
use suites::suite;
use suites::world::Source;

const NAME: &str = "gntdev-domu";

fn main() -> ExitCode {
    let domid = match RemoteGranter::domid_of_domu() {
        Ok(domid) => domid,
        Err(error) => {
            println!("Bail out! {NAME} needs a domU: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut rules = cases::of_any_granter();
    rules.extend(remote_domain::RULES);
    rules.push(&remote_domain::LAST);
    suite::run(NAME, Source::Domu(domid), &rules)
}
