// SPDX-License-Identifier: GPL-2.0

//! Tests of gntdev outside of the kernel.
//!
//! The kernel's own source files are compiled here, unchanged: the plan of a copy, the layout of a
//! dma-buf, the operations of the hypercall, their repetition, and the index of regions. Random
//! input is compared with models that are so simple that they are right.
//!
//! These are models, written for the tests, of what the files above use:
//!
//! ```text
//!   bindings      structures and constants of Xen's and gntdev's C headers
//!   copy          copy operations, without the unions of the C structure
//!   maple_tree    the kernel's tree of ranges
//!   prelude       errors, boxes and initializers of the kernel crate
//!   sync          mutex and reference count of the kernel crate
//! ```

#![cfg(test)]
#![deny(unsafe_code)]

// The kernel's files name the kernel crate by its name. Here that is this crate.
extern crate self as kernel;

#[allow(dead_code)]
#[path = "../../../drivers/xen/gntdev/copy_plan.rs"]
mod copy_plan;
#[allow(dead_code)]
#[path = "../../../drivers/xen/gntdev/dma_buf_layout.rs"]
mod dma_buf_layout;
#[allow(dead_code)]
#[path = "../../../drivers/xen/gntdev/region_index.rs"]
mod region_index;

/// Rooms of the kernel's abstractions.
#[path = "../../../drivers/xen/rust"]
mod xen {
    pub(crate) use crate::bindings;

    pub(crate) mod dma_buf {
        #[allow(dead_code)]
        pub(crate) mod segment;
    }

    pub(crate) mod gntdev {
        // Reads of the unions that a program passes; Miri checks them.
        #[allow(dead_code, unsafe_code)]
        pub(crate) mod copy_segment;

        pub(crate) mod uapi {
            pub(crate) use crate::bindings::{GNTDEV_DMA_FLAG_COHERENT, GNTDEV_DMA_FLAG_WC};
        }
    }

    pub(crate) mod grant {
        #[allow(dead_code)]
        pub(crate) mod operation;
        #[allow(dead_code)]
        pub(crate) mod retry;

        pub(crate) use crate::copy;

        pub(crate) mod gfn {
            pub(crate) const XEN_PAGE_SIZE: usize = 4096;
        }
    }

    pub(crate) mod kernel {
        pub(crate) use crate::maple_tree;
    }
}

/// Sizes of the kernel's pages.
mod page {
    pub(crate) const PAGE_SHIFT: usize = 12;
    pub(crate) const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
}

mod bindings;
mod copy;
mod maple_tree;
mod prelude;
mod sync;

use sync::new_mutex;

mod copies;
mod layouts;
mod operations;
mod regions;

/// Number of random inputs of a test that tries `native` of them: an interpreter takes fewer.
fn cases(native: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases: if cfg!(miri) {
            native.div_ceil(200)
        } else {
            native
        },
        // The file of failures is of no use where each input is printed.
        failure_persistence: None,
        ..Default::default()
    }
}
