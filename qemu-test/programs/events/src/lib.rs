// SPDX-License-Identifier: GPL-2.0

//! System suites for event channels: dom0 and a domU, which runs program `event-peer`, send each
//! other events through thousands of ports of `/dev/xen/evtchn`, and count them.
//!
//! ```text
//!   dom0: a suite                                 domU: event-peer
//!     Link                                          Side
//!      |- Side -- Sender ---- event channels ----> Receiver
//!      |          Receiver <--- a port a lane ---- Sender
//!      `- Board: pages of the domU's that both have mapped; who sends and who
//!         has received what, lane by lane, and what the domU is to do next
//! ```

#![forbid(unsafe_code)]

pub mod agreement;
mod arrivals;
pub mod astray;
pub mod attack;
pub mod board;
pub mod debug_key;
pub mod event_page;
pub mod flooded;
pub mod hotplug;
pub mod link;
pub mod ops;
pub mod options;
pub mod peer;
pub mod queues_file;
pub mod round_trip;
pub mod storm;
pub mod tally;
