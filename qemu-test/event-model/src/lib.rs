// SPDX-License-Identifier: GPL-2.0

//! Tests of the state machine of the FIFO event channels, outside of the kernel.
//!
//! The source files of the kernel are compiled here, together with a model of the hypervisor.
//! `interleavings` lets loom explore all orders of the steps of two or three CPUs, `sequences`
//! tries long random sequences on one.

#![cfg(test)]
#![forbid(unsafe_code)]

// Functions that only read the state, and those that initialize a queue, are left to the KUnit
// tests.
#[allow(dead_code)]
#[path = "../../../drivers/xen/events/event_queue.rs"]
mod event_queue;
#[allow(dead_code)]
#[path = "../../../drivers/xen/events/event_word.rs"]
mod event_word;

/// The only file of the kernel's rooms that the state machine uses.
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
