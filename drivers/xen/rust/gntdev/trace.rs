// SPDX-License-Identifier: GPL-2.0

//! Trace events of gntdev, `events/xen_gntdev/` in tracefs.
//!
//! A disabled event costs a call and a jump that is patched out. All functions may be called from
//! any context. The events of mappings themselves (`xen_gntdev_unmap`, `xen_gntdev_defer`,
//! `xen_gntdev_hypercall`) come from the room `grant`.
//!
//! C header: [`include/trace/events/xen_gntdev.h`](srctree/include/trace/events/xen_gntdev.h).

use crate::xen::bindings;
use kernel::prelude::*;

/// Traces the mapping of the region at offset `index`, in bytes, or its failure.
pub(crate) fn map(index: u64, count: usize, writable: bool, result: &Result) {
    // SAFETY: The shim takes any numbers.
    unsafe { bindings::xen_rust_trace_map(index, count as u32, writable, errno(result)) };
}

/// Returns the C value of `result`: 0 or a negative error number.
fn errno<T>(result: &Result<T>) -> c_int {
    match result {
        Ok(_) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Traces a batch of grant copies.
pub(crate) fn copy(segments: usize, operations: usize, pages: usize) {
    // SAFETY: The shim takes any numbers.
    unsafe {
        bindings::xen_rust_trace_copy(segments as u32, operations as u32, pages as u32);
    };
}

/// Traces that the byte at `offset` of a region was cleared because the region is unmapped.
pub(crate) fn notify_byte(offset: usize) {
    // SAFETY: The shim takes any number.
    unsafe { bindings::xen_rust_trace_notify_byte(offset as u64) };
}

/// Traces that an event was sent on `port` because a region has been unmapped.
pub(crate) fn notify_event(port: u32) {
    // SAFETY: The shim takes any number.
    unsafe { bindings::xen_rust_trace_notify_event(port) };
}

/// Traces the export of `count` grants of `domain` as a dma-buf whose data begin at `offset`, in
/// bytes, or its failure.
pub(crate) fn dmabuf_export<T>(
    domain: u32,
    count: u32,
    flags: u32,
    offset: u32,
    result: &Result<T>,
) {
    // SAFETY: The shim takes any numbers.
    unsafe { bindings::xen_rust_trace_dmabuf_export(domain, count, flags, offset, errno(result)) };
}

/// Traces that all users of a dma-buf of `count` grants of `domain` have released it.
pub(crate) fn dmabuf_release(domain: u16, count: usize) {
    // SAFETY: The shim takes any numbers.
    unsafe { bindings::xen_rust_trace_dmabuf_release(domain.into(), count as u32) };
}

/// Traces that the `count` pages of a dma-buf were granted to `domain`, or the failure of that.
/// `result` has the offset of the data, in bytes.
pub(crate) fn dmabuf_import(domain: u32, count: u32, result: &Result<usize>) {
    let offset = *result.as_ref().unwrap_or(&0) as u32;
    // SAFETY: The shim takes any numbers.
    unsafe { bindings::xen_rust_trace_dmabuf_import(domain, count, offset, errno(result)) };
}

/// Traces that the `count` pages of a dma-buf are no longer granted to `domain`, which still has
/// `mapped` of them mapped.
pub(crate) fn dmabuf_import_release(domain: u16, count: usize, mapped: usize) {
    // SAFETY: The shim takes any numbers.
    unsafe {
        bindings::xen_rust_trace_dmabuf_import_release(domain.into(), count as u32, mapped as u32)
    };
}
