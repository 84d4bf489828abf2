// SPDX-License-Identifier: GPL-2.0

//! Dom0 makes dma-bufs of its own grants, and grants dma-bufs to itself: a paravirtual dom0 needs
//! no second domain.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use guest_test::platform::MemoryModel;
use suites::cases::dmabuf;
use suites::suite;
use suites::world::Source;

const NAME: &str = "dmabuf-self";

fn main() -> ExitCode {
    if matches!(MemoryModel::current(), Ok(MemoryModel::AutoTranslated)) {
        return suite::skip(
            NAME,
            "an auto-translated domain destroys its memory when it maps its own grants",
        );
    }
    suite::run(NAME, Source::Own, &dmabuf::of_any_granter())
}
