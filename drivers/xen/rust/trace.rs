// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of gntdev, `events/xen_gntdev/` in tracefs.
//!
//! They cost next to nothing while nobody uses them. All functions may be called from any context.
//!
//! C header: [`include/trace/events/xen_gntdev.h`](srctree/include/trace/events/xen_gntdev.h).

use super::bindings;
use kernel::prelude::*;

/// The region at `index`, in bytes, was mapped or could not be.
pub(crate) fn map(index: u64, count: usize, writable: bool, result: &Result) {
    let error = match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    };
    // SAFETY: The shim takes any numbers.
    unsafe { bindings::xen_rust_trace_map(index, count as u32, writable, error) };
}

/// `count` grants were unmapped from the kernel or, if `user`, from a process; the hypervisor
/// refused `refused` of them.
pub(crate) fn unmap(count: usize, refused: usize, user: bool) {
    // SAFETY: The shim takes any numbers.
    unsafe { bindings::xen_rust_trace_unmap(count as u32, refused as u32, user) };
}

/// The unmapping of `count` frames waits for somebody to let go of them.
pub(crate) fn defer(count: usize) {
    // SAFETY: The shim takes any number.
    unsafe { bindings::xen_rust_trace_defer(count as u32) };
}

/// A batch of grant copies was done.
pub(crate) fn copy(segments: usize, operations: usize, pages: usize) {
    // SAFETY: The shim takes any numbers.
    unsafe {
        bindings::xen_rust_trace_copy(segments as u32, operations as u32, pages as u32);
    };
}

/// The byte at `offset` of a region was cleared, because it is unmapped.
pub(crate) fn notify_byte(offset: usize) {
    // SAFETY: The shim takes any number.
    unsafe { bindings::xen_rust_trace_notify_byte(offset as u64) };
}

/// An event was sent on `port`, because a region has been unmapped.
pub(crate) fn notify_event(port: u32) {
    // SAFETY: The shim takes any number.
    unsafe { bindings::xen_rust_trace_notify_event(port) };
}

/// Traces how long `hypercall` takes, with `command` on `count` operations.
pub(crate) fn hypercall<T>(command: u32, count: usize, hypercall: impl FnOnce() -> T) -> T {
    // SAFETY: The shim reads the clock.
    let begin = unsafe { bindings::xen_rust_trace_hypercall_begin() };
    let result = hypercall();
    // SAFETY: The shim takes any numbers.
    unsafe { bindings::xen_rust_trace_hypercall_end(begin, command, count as u32) };
    result
}
