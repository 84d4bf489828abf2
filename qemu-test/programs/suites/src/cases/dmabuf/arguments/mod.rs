// SPDX-License-Identifier: GPL-2.0

//! Arguments of the dma-buf requests that make no sense are refused. Nothing is mapped by them, and
//! no descriptor is left open.

pub mod addresses;
pub mod counts;
mod descriptors;
pub mod grants;
