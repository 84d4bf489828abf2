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
//!   locked_word       atomic operations on such words
//! ```
//!
//! Files of this room use the room `kernel`.

pub(crate) mod channel;
