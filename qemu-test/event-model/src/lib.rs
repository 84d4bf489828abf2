// SPDX-License-Identifier: GPL-2.0

//! Tests of the state machine of the FIFO event channels, outside of the kernel.
//!
//! The kernel's own source files are compiled here, together with a model of what the hypervisor
//! does on its side. `interleavings` lets loom try all orders in which two or three CPUs can
//! do it, `sequences` tries long random sequences on one.

#![cfg(test)]
#![forbid(unsafe_code)]

// What only looks on, and the start of a queue's life, are left to the kernel's own tests.
#[allow(dead_code)]
#[path = "../../../drivers/xen/events/event_queue.rs"]
mod event_queue;
#[allow(dead_code)]
#[path = "../../../drivers/xen/events/event_word.rs"]
mod event_word;

/// The one file of the kernel's rooms that the state machine uses.
#[path = "../../../drivers/xen/rust"]
mod xen {
    pub(crate) mod event {
        pub(crate) mod locked_word;
    }
}

mod hypervisor;
mod interleavings;
mod machine;
mod sequences;
