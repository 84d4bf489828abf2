// SPDX-License-Identifier: GPL-2.0

//! Calls of the device with a failure at each point where the driver can fail.

pub mod calls;
pub mod ends;
pub mod kernel_users;
