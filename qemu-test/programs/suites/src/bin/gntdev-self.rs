// SPDX-License-Identifier: GPL-2.0

//! Dom0 maps its own grants: a dom0 that may do so needs no second domain.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use guest_test::platform;
use suites::cases;
use suites::suite;
use suites::world::Source;

const NAME: &str = "gntdev-self";

fn main() -> ExitCode {
    if matches!(platform::maps_own_grants(), Ok(false)) {
        return suite::skip(
            NAME,
            "an auto-translated domain on x86 destroys its memory when it maps its own grants",
        );
    }
    suite::run(NAME, Source::Own, &cases::of_any_granter())
}
