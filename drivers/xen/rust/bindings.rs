// SPDX-License-Identifier: GPL-2.0

//! Bindings that bindgen makes at build time from the kernel tree's own headers.
//!
//! Only names that the [`kernel`] crate does not bind are generated; types that both know are the
//! kernel crate's own. Each crate has generated bindings of its own: `bindings_helper.h` and
//! `Makefile.bindings` list the names for gntdev, `event_bindings_helper.h` and the Makefile of the
//! event channels those for the event channels.

#![allow(
    clippy::all,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]

pub(crate) use kernel::bindings::*;
use kernel::ffi;
use pin_init::MaybeZeroable;

include!(env!("XEN_RUST_BINDINGS"));
