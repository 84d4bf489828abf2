// SPDX-License-Identifier: GPL-2.0

//! Tests of the FIFO event channels outside of the kernel.
//!
//! The kernel's own source files are compiled here, unchanged: the state machine, the event array,
//! the operations on ports, the events of a CPU, and the orderings of shared words. They are tested
//! together with a model of the hypervisor. `interleavings` lets loom explore all orders of the
//! steps of two or three CPUs, `sequences` tries long random sequences on one.
//!
//! These are models, written for the tests, of what the files above use:
//!
//! ```text
//!   hypervisor    Xen's common/event_fifo.c, with the orderings that it has on Arm
//!   machine       the kernel's events_base.c: upcall, interrupt handlers, reasons to mask
//!   atomic        atomics of core: loom's in a test that explores interleavings
//!   shared_page   pages, without the kernel's page allocator
//!   prelude       errors and messages of the kernel crate
//! ```

#![cfg(test)]
#![forbid(unsafe_code)]

// The kernel's files name the kernel crate by its name. Here that is this crate.
extern crate self as kernel;

// The files have a few functions that are left to the kernel's own tests.
#[allow(dead_code)]
#[path = "../../../drivers/xen/events/array_ops.rs"]
mod array_ops;
#[allow(dead_code)]
#[path = "../../../drivers/xen/events/cpu_events.rs"]
mod cpu_events;
#[allow(dead_code)]
#[path = "../../../drivers/xen/events/event_array.rs"]
mod event_array;
#[allow(dead_code)]
#[path = "../../../drivers/xen/events/event_queue.rs"]
mod event_queue;
#[allow(dead_code)]
#[path = "../../../drivers/xen/events/event_word.rs"]
mod event_word;

/// Rooms of the kernel's abstractions.
#[path = "../../../drivers/xen/rust"]
mod xen {
    pub(crate) mod event {
        pub(crate) mod hypervisor;
        pub(crate) mod locked_word;

        pub(crate) use crate::{atomic, shared_page};
    }

    pub(crate) mod kernel {
        pub(crate) use crate::per_cpu;
    }
}

mod atomic;
mod hypervisor;
mod interleavings;
mod machine;
mod per_cpu;
mod prelude;
mod sequences;
mod shared_page;
