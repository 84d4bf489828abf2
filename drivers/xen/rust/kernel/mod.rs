// SPDX-License-Identifier: GPL-2.0

//! Kernel APIs that the `kernel` crate does not wrap yet, or not as a driver needs them.
//!
//! Nothing in here knows of Xen. Each file wraps one API and could become part of the `kernel`
//! crate with changed paths; those marked SERIES exist because two series differ. The reader is
//! someone who would review that patch. A file of this room uses the `kernel` crate, the bindings
//! and other files of the room.
//!
//! Files that only code built into the kernel can use (`boot_param`, `per_cpu`) are listed in
//! `built_in.rs`.

pub(crate) mod debugfs;
pub(crate) mod dma_direction;
pub(crate) mod errno;
pub(crate) mod faux_device;
pub(crate) mod maple_tree;
pub(crate) mod misc_device;
pub(crate) mod mmu_notifier;
pub(crate) mod module;
pub(crate) mod module_param;
pub(crate) mod page_array;
pub(crate) mod sched;
pub(crate) mod user_memory;
pub(crate) mod user_pages;
pub(crate) mod vma;
pub(crate) mod vmap;
