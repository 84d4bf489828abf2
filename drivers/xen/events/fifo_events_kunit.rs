// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the parts of the FIFO-based event channels that need no hypervisor.
//!
//! The tests are a module of their own, built from the driver's source files, so that it loads on a
//! kernel that does not run on Xen. Each file in `kunit/` has the tests of the source file of the
//! same name, but for `words` and `fake_hypervisor`, which the tests share.
//!
//! A page that Xen has accepted is never freed. Pages that the fake hypervisor accepts are freed
//! with the array or the control block that has them, by `unpublish.rs`.

#[path = "../rust/built_in_kunit.rs"]
mod xen;

mod array_ops;
mod cpu_events;
mod event_array;
mod event_queue;
mod event_word;
#[allow(dead_code)]
mod refusal;

mod kunit {
    mod words;

    mod fake_hypervisor;

    mod array_ops;
    mod cpu_events;
    mod event_array;
    mod event_queue;
    mod page_reserve;
    mod refusal;
}

use kernel::prelude::*;

module! {
    type: FifoEventsKunitModule,
    name: "xen_evtchn_fifo_rust_kunit",
    authors: ["The Rust gntdev maintainers"],
    description: "KUnit tests of the Rust FIFO event channels",
    license: "GPL",
}

/// Module without state: KUnit runs the suites of a module when it is loaded.
struct FifoEventsKunitModule;

impl kernel::Module for FifoEventsKunitModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
