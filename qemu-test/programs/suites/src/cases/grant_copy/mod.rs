// SPDX-License-Identifier: GPL-2.0

//! Copies that the hypervisor makes between this program's memory and granted pages, or between
//! granted pages.

pub mod arguments;
pub mod bytes;
pub mod load;
pub mod local_faults;
pub mod local_memory;
pub mod refusals;
mod segments;
