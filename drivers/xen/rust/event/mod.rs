// SPDX-License-Identifier: GPL-2.0

//! Event channels.
//!
//! The file for a module that sends events is `channel`. The others are for the port operations,
//! which are built into the kernel, and listed in `built_in.rs`:
//!
//! ```text
//!   evtchn_ops        implementation of the port operations (C: `struct evtchn_ops`)
//!   hypervisor        operations that the FIFO ABI asks of the hypervisor, as an interface
//!   event_channel_op  implementation of that by the event channel hypercall
//!   shared_page       pages of words that the hypervisor reads and writes as well
//!   page_reserve      pages for the event array, allocated ahead
//!   locked_word       operations on such words, with their orderings
//!   atomic            atomic operations that these consist of
//! ```
//!
//! Files of this room use the room `kernel`.

pub(crate) mod channel;
