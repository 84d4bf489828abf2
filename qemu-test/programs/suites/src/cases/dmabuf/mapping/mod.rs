// SPDX-License-Identifier: GPL-2.0

//! Mappings of an exported dma-buf.

pub mod access;
pub mod fork;
pub mod kernel_users;
pub mod memory_calls;
pub mod page_monitors;
pub mod populate;
pub mod unmap;
