// SPDX-License-Identifier: GPL-2.0

//! Tools of the test programs that users of grants do not need: KTAP reports, child processes that
//! crash, the grant device with invalid arguments, and the state of the kernel and of Xen.
//!
//! All `unsafe` of the guest programs is in this crate and in `xen-grants`, the library for users.

pub mod accounting;
pub mod address_space;
mod call;
pub mod compat;
pub mod console_ring;
pub mod counters;
pub mod descriptor_passing;
pub mod domain_list;
pub mod event_channel;
pub mod fault_injection;
pub mod fence;
pub mod foreign_memory;
pub mod free_memory;
pub mod gntdev;
pub mod grant_dma_buf;
pub mod grant_usage;
pub mod hypercall;
pub mod importer;
pub mod inspect;
pub mod interruption;
pub mod kernel_module;
pub mod ktap;
pub mod mapping;
pub mod page_monitor;
pub mod pattern;
pub mod perf_event;
pub mod platform;
pub mod port_list;
pub mod process;
pub mod process_end;
pub mod process_memory;
pub mod processor;
pub mod processor_time;
pub mod readiness;
pub mod registered_buffer;
pub mod tick_clock;
pub mod totals;
pub mod tracing;
mod xenctrl;

/// Error numbers that the grant device returns.
pub mod errno {
    pub use libc::{EACCES, EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EMFILE, ENODEV, ENOENT};
    pub use libc::{ENOMEM, ENOSPC, ENOTTY, EOPNOTSUPP, EOVERFLOW, ETIMEDOUT};
}

/// Signals that end a program.
pub mod signal {
    pub use libc::{SIGBUS, SIGKILL, SIGSEGV};
}

/// Flags for opening files.
pub mod open_flag {
    pub use libc::O_DIRECT;
}
