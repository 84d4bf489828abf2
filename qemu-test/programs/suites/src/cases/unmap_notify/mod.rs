// SPDX-License-Identifier: GPL-2.0

//! Notification of the granter at the unmapping of its page: a byte is cleared, an event is sent.
//! It tells the granter that the program at the other end of a channel has ended, also if it was
//! killed.

pub mod actions;
pub mod arguments;
pub mod end_of_region;
mod held;
pub mod load;
pub mod mapping;
