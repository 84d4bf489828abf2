// SPDX-License-Identifier: GPL-2.0

//! Memory of one domain that another one uses as a dma-buf.
//!
//! The granting side makes a dma-buf of memory that it has (here: of a memfd,
//! [`memfd`]) and has gntdev grant its pages to another domain
//! ([`grant_table::GrantTable::import`]). It passes the grant references on
//! ([`handover`]). The other side makes a dma-buf of the references
//! ([`grant_table::GrantTable::export`]) and gives it to whoever takes
//! dma-bufs: to a display ([`drm`]), or to itself by mmap ([`buffer`]).
//! No byte is copied between the domains.
//!
//! All `unsafe` of the samples is in this crate.

use std::io;

pub mod buffer;
pub mod drm;
pub mod grant_table;
pub mod handover;
mod ioctl;
pub mod mapping;
pub mod memfd;
pub mod xenstore;

/// Bytes in a page, and in a grant.
pub const PAGE_SIZE: usize = 4096;

/// The domain that runs the toolstack and has the devices.
pub const DOM0: u32 = 0;

/// The last system call's error, with what was tried.
fn last_error(what: &str) -> io::Error {
    named(what, io::Error::last_os_error())
}

fn named(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
