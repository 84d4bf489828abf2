// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the parts of the Rust gntdev that need no hypervisor.
//!
//! The tests are a module of their own, built from the driver's source files, so that it loads on a
//! kernel that does not run on Xen. Each file in `kunit/` has the tests of the source file of the
//! same name.

#[path = "../rust"]
mod xen {
    #[allow(dead_code)]
    pub(crate) mod bindings;
    pub(crate) mod buffer_segment;
    pub(crate) mod copy_operation;
    #[allow(dead_code)]
    pub(crate) mod direction;
    #[allow(dead_code)]
    pub(crate) mod grant_operation;
    pub(crate) mod maple_tree;
    pub(crate) mod unmap_operations;
}

mod copy_plan;
mod descriptor_index;
mod dmabuf_layout;
mod limits;
mod region_index;
mod release_event;

mod kunit {
    mod copy_operation;
    mod copy_plan;
    mod descriptor_index;
    mod direction;
    mod dmabuf_layout;
    mod grant_operation;
    mod limits;
    mod maple_tree;
    mod region_index;
    mod release_event;
    mod unmap_operations;
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
