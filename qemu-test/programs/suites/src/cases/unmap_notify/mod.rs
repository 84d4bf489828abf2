// SPDX-License-Identifier: GPL-2.0

//! Notification of the granter at the unmapping of its page: a byte is cleared,
//! an event is sent. The granter notices the end of a channel by that, however
//! the program at the other end went.

pub mod actions;
pub mod arguments;
pub mod end_of_region;
mod held;
pub mod load;
pub mod mapping;
