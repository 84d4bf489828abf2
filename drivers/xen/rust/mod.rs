// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions for gntdev, in rooms. All `unsafe` code of the drivers is in this folder.
//!
//! ```text
//!   kernel    things of the kernel that the `kernel` crate does not wrap yet
//!   grant     grants of other domains: hypercalls, mapping, unmapping, frames
//!   dma_buf   dma-bufs over granted frames, and dma-bufs whose pages are granted
//!   event     event channels
//!   gntdev    the UAPI structures of gntdev, and its trace events
//! ```
//!
//! A room may use those above it in this list, with two exceptions: `event` uses `kernel` only, and
//! nothing but `gntdev` and the driver itself uses `event`. All rooms may use `bindings` and
//! `totals`, the counters of the module; of these two the other crates below have only `bindings`.
//! The drivers use the rooms, never the reverse. `make check` draws the imports and fails on an
//! import in the other direction, and on files that import each other.
//!
//! # Crates
//!
//! This is the list of rooms for the module. Three crates compile other sets of the same files, and
//! have a list each:
//!
//! - `built_in.rs`, for the event channels, which are part of the kernel image. Kconfig allows them
//!   without gntdev, and then the kernel has no MMU notifiers, no dma-bufs and no
//!   `find_normal_page` operation, which the files of gntdev name. Conversely, a module can neither
//!   have per-CPU variables of this kind nor reach the variables of `events_base.c`. The two lists
//!   have no file in common but `bindings.rs`, which includes the file that bindgen made for the
//!   crate.
//! - `kunit.rs` and `built_in_kunit.rs`, for the modules of KUnit tests. They list the files that
//!   do not reach the hypervisor. The compiler keeps the methods of all trait implementations, such
//!   as [`Drop`], also of types that a crate does not use; and these call C functions of the driver
//!   that another module cannot link to.

pub(crate) mod bindings;

pub(crate) mod totals;

pub(crate) mod kernel;

pub(crate) mod grant;

pub(crate) mod dma_buf;

pub(crate) mod event;

pub(crate) mod gntdev;
