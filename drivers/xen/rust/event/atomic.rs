// SPDX-License-Identifier: GPL-2.0

//! Atomic operations of the event channels: those of [`core`], which are never patched.
//!
//! Files that a model checker compiles on the host as well take their atomic operations from here,
//! with their orderings. The model has a file of its own in place of this one, whose operations the
//! checker observes.

pub(crate) use core::{
    hint::spin_loop,
    sync::atomic::{
        fence,
        AtomicU32,
        Ordering, //
    }, //
};
