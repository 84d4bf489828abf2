// SPDX-License-Identifier: GPL-2.0

//! Grants of other domains, and the frames that they are mapped at.
//!
//! The reader is someone who changes how pages of other domains are mapped, unmapped or copied.
//! Files of this room use the `kernel` room. They know nothing of dma-bufs and of
//! `/dev/xen/gntdev`.
//!
//! ```text
//!   mapping            grants at kernel addresses of frames: from mapping to the last unmap
//!   user_mapping       grants at page-table entries of a process (paravirtual domains)
//!   contiguous_mapping grants at contiguous addresses of the kernel (paravirtual domains)
//!   deferred           list of what has ended but cannot be undone yet, as pages are in use
//!   unmap              unmap operations of grants that were mapped together
//!   map                map operations of grants that are mapped together
//!   hypercall          the calls of the grant table hypercall, traced
//!   copy               operations that copy from and to granted pages
//!   retry              repetition of operations on pages that are paged out
//!   operation          operations that map and unmap, as plain values
//!   frames             frames that grants are mapped at, of either kind:
//!   unpopulated_pages    frames without memory of their own
//!   dma_memory           frames for DMA whose memory was given to the hypervisor
//!   failing_call       C functions that a test can have fail
//!   gfn                numbers that the hypervisor gives to frames
//!   domain             kind of the Xen domain that this kernel runs in
//! ```
//!
//! The order is that of an unmapping: dropping a mapping unmaps the frames that nothing refers to
//! and leaves the rest to `deferred`; `unmap` finds runs of operations, `hypercall` issues them,
//! `operation` evaluates their statuses. Each file uses files below it only.

pub(crate) mod contiguous_mapping;
pub(crate) mod copy;
pub(crate) mod deferred;
pub(crate) mod dma_memory;
pub(crate) mod domain;
pub(crate) mod failing_call;
pub(crate) mod frames;
pub(crate) mod gfn;
pub(crate) mod hypercall;
pub(crate) mod map;
pub(crate) mod mapping;
pub(crate) mod operation;
pub(crate) mod retry;
pub(crate) mod unmap;
pub(crate) mod unpopulated_pages;
pub(crate) mod user_mapping;
