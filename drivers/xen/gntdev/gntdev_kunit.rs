// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the parts of the Rust gntdev that need no hypervisor.
//!
//! The tests are a module of their own, built from the driver's source files, so that it loads on a
//! kernel that does not run on Xen. Each file in `kunit/` has the tests of the source file of the
//! same name.

#[path = "../rust/kunit.rs"]
mod xen;

mod copy_plan;
mod descriptor_index;
mod dma_buf_layout;
mod limits;
mod region_index;
mod release_event;

mod kunit {
    mod copy;
    mod copy_plan;
    mod descriptor_index;
    mod dma_buf_layout;
    mod dma_direction;
    mod limits;
    mod maple_tree;
    mod operation;
    mod region_index;
    mod release_event;
    mod retry;
    mod unmap;
}

use kernel::prelude::*;

module! {
    type: GntdevKunitModule,
    name: "xen_gntdev_rust_kunit",
    authors: ["The Rust gntdev maintainers"],
    description: "KUnit tests of the Rust gntdev",
    license: "GPL",
}

/// Module without state: KUnit runs the suites of a module when it is loaded.
struct GntdevKunitModule;

impl kernel::Module for GntdevKunitModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
