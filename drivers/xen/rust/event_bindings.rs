// SPDX-License-Identifier: GPL-2.0

//! Bindings for the port operations of event channels, made at build time as those of
//! `bindings.rs`. They are built into the kernel, apart from the module that the others belong to.

#![allow(
    clippy::all,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

use kernel::{
    bindings::bool_,
    ffi, //
};

include!(env!("XEN_RUST_BINDINGS"));
