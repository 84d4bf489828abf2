// SPDX-License-Identifier: GPL-2.0

#![doc = include_str!("../README.md")]

pub mod bytes;
#[cfg(feature = "display")]
pub mod display;
pub mod dma_buf;
pub mod dma_heap;
mod error;
pub mod event_channel;
pub mod grant_copy;
pub mod grant_dma_buf;
pub mod grant_share;
pub mod grant_table;
pub mod handover;
pub mod mapping;
pub mod memory_file;
mod poll;
mod sys;
pub mod vchan;
pub mod xenstore;

pub use error::Error;
pub use error::Result;

/// Size of a page and of a grant in bytes.
pub const PAGE_SIZE: usize = 4096;

/// Domain id of the domain that runs the toolstack.
pub const DOM0: u32 = 0;

/// A grant: the domain that granted a page, and its grant reference.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantRef {
    /// Domain id of the granter.
    pub domid: u32,
    /// Grant reference, an index into the granter's table.
    pub reference: u32,
}
