// SPDX-License-Identifier: GPL-2.0

//! Dom0 makes dma-bufs of its own grants, and grants dma-bufs to itself: a dom0 that may do so
//! needs no second domain.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use guest_test::platform;
use suites::cases::dmabuf;
use suites::suite;
use suites::world::Source;

const NAME: &str = "dmabuf-self";

fn main() -> ExitCode {
    if matches!(platform::maps_own_grants(), Ok(false)) {
        return suite::skip(
            NAME,
            "an auto-translated domain on x86 destroys its memory when it maps its own grants",
        );
    }
    suite::run(NAME, Source::Own, &dmabuf::of_any_granter())
}
