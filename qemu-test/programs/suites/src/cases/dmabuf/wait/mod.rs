// SPDX-License-Identifier: GPL-2.0

//! Waits for the end of an exported dma-buf.

pub mod concurrent;
pub mod end;
pub mod holders;
mod waiter;
