// SPDX-License-Identifier: GPL-2.0

//! What a program in a Xen guest works with, behind safe interfaces: the
//! distribution's libxengnttab and libxenstore, the grant device itself,
//! dma-bufs, mapped memory, child processes, and what the hypervisor says of its
//! grants.
//!
//! All `unsafe` of the guest programs is in this crate.

pub mod bytes;
pub mod console_ring;
pub mod descriptor_passing;
pub mod dma_buf;
pub mod dma_heap;
pub mod domain_list;
pub mod event_channel;
pub mod free_memory;
pub mod gntdev;
pub mod grant_copy;
pub mod grant_dma_buf;
pub mod grant_share;
pub mod grant_table;
pub mod grant_usage;
pub mod hypercall;
pub mod interruption;
pub mod kernel_module;
pub mod ktap;
pub mod mapping;
pub mod memory_file;
pub mod platform;
pub mod process;
pub mod process_end;
pub mod processor_time;
pub mod readiness;
pub mod tick_clock;
pub mod tracing;
pub mod vchan;
pub mod xenstore;

/// Bytes in a page, and in a grant.
pub const PAGE_SIZE: usize = 4096;

/// The error numbers that the grant device answers.
pub mod errno {
    pub use libc::{EACCES, EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EMFILE, ENOENT, ENOTTY};
    pub use libc::{ENOMEM, EOVERFLOW, ETIMEDOUT};
}

/// The signals that end a program which touches memory it may not.
pub mod signal {
    pub use libc::{SIGBUS, SIGKILL, SIGSEGV};
}

/// Flags for opening files.
pub mod open_flag {
    pub use libc::O_DIRECT;
}
