// SPDX-License-Identifier: GPL-2.0

//! Calls of the grant table hypercall, each traced by `xen_gntdev_hypercall`. Maps and unmaps are
//! counted in the totals of the driver.
//!
//! The status of each operation says all that the result of a call does, so that the functions that
//! map and copy return none. Those that unmap evaluate the statuses. If a call fails as a whole,
//! its operations keep the status that they were made with, which is that of a failure.
//!
//! C header: `include/xen/grant_table.h`.

use super::{
    failing_call,
    operation::{
        self,
        is_full,
        is_mapped,
        succeeded, //
    },
    retry::{
        self,
        Operation, //
    }, //
};
use crate::xen::{
    bindings,
    kernel::{
        page_array::PageArray,
        sched::{
            cond_resched,
            fatal_signal_pending, //
        },
    },
    totals::Total,
};
use core::{
    ops::Range,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// Maps grants at the kernel addresses of `frames`, in order (C: `gnttab_map_refs()`). May sleep,
/// for long if pages of the granting domain are paged out.
///
/// # Errors
///
/// `EINVAL` if there are not as many operations as frames; those of [`operation::map_failure`].
/// Some grants may then be mapped: their operations say so.
///
/// # Safety
///
/// Each operation must map at the address of the frame with its index. The frames must be unused,
/// and stay so until the grants are unmapped.
pub(super) unsafe fn map_at_frames(
    operations: &mut [bindings::gnttab_map_grant_ref],
    frames: &impl PageArray,
) -> Result {
    let pages = frames.pages();
    if pages.len() != operations.len() {
        return Err(EINVAL);
    }
    let result = traced(
        bindings::GNTTABOP_map_grant_ref,
        operations.len(),
        // SAFETY: Both are arrays of this length. By the safety requirements of this function the
        // frames are unused, so that nothing is lost when the hypervisor maps other pages at them.
        // The C function writes to the pages, but not to the array of pointers.
        || unsafe {
            failing_call::gnttab_map_refs(
                operations.as_mut_ptr(),
                ptr::null_mut(),
                pages.as_ptr().cast_mut(),
                operations.len() as u32,
            )
        },
    );
    Total::MappedGrants.add(count_maps(operations));
    to_result(result).map_err(operation::map_failure)
}

/// Maps grants at page-table entries of a process, or at addresses of the kernel that have no
/// frames (C: `gnttab_batch_map()`). May sleep: if pages of the granting domain are paged out, for
/// up to 32 seconds, or until the task is killed. Paravirtual domains only.
///
/// # Safety
///
/// Each operation must name a page-table entry that stays allocated, or an address of the kernel
/// that has a page table. Nothing else may use either until the grant is unmapped.
pub(super) unsafe fn map(operations: &mut [bindings::gnttab_map_grant_ref]) {
    // SAFETY: The command takes such operations; the rest by this function's safety requirements.
    unsafe { issue_until_answered(bindings::GNTTABOP_map_grant_ref, operations) };
    count_maps(operations);
}

/// Unmaps grants from the kernel addresses of those of `frames` that are in `range` (C:
/// `gnttab_unmap_refs()`), and settles the operations. Returns the number of operations that the
/// hypervisor refused. May sleep, allocates nothing.
///
/// # Safety
///
/// The operations must stand for the mappings at these frames, one for each, and nothing may refer
/// to the frames.
pub(super) unsafe fn unmap_from_frames(
    operations: &mut [bindings::gnttab_unmap_grant_ref],
    frames: &impl PageArray,
    range: Range<usize>,
) -> usize {
    let Some(pages) = frames.pages().get(range) else {
        return operations.len();
    };
    let count = operations.len().min(pages.len());
    traced(
        bindings::GNTTABOP_unmap_grant_ref,
        count,
        // SAFETY: Both are arrays of at least this length; the rest by this function's safety
        // requirements. The C function does not write to the array of pointers.
        || unsafe {
            failing_call::gnttab_unmap_refs(
                operations.as_mut_ptr(),
                ptr::null_mut(),
                pages.as_ptr().cast_mut(),
                count as u32,
            )
        },
    );
    let refused = settle(operations, false);
    Total::MappedGrants.subtract(operations.len() - refused);
    refused
}

/// Unmaps grants from page-table entries of a process (C: `HYPERVISOR_grant_table_op()`), and
/// settles the operations. Returns the number of operations that the hypervisor refused.
///
/// On return no CPU has a translation to the pages. May sleep, allocates nothing.
///
/// # Safety
///
/// The operations must stand for mappings at page-table entries, not at addresses of the kernel.
pub(super) unsafe fn unmap_from_entries(
    operations: &mut [bindings::gnttab_unmap_grant_ref],
) -> usize {
    // SAFETY: By this function's safety requirements.
    unsafe { unmap(operations) };
    settle(operations, true)
}

/// Unmaps grants from addresses of the kernel that have no frames (C:
/// `HYPERVISOR_grant_table_op()`), and settles the operations. Returns the number of operations
/// that the hypervisor refused.
///
/// On return no CPU has a translation to the pages. May sleep, allocates nothing.
///
/// # Safety
///
/// The operations must stand for mappings of [`map`] at such addresses, which nothing uses.
pub(super) unsafe fn unmap_from_addresses(
    operations: &mut [bindings::gnttab_unmap_grant_ref],
) -> usize {
    // SAFETY: By this function's safety requirements.
    unsafe { unmap(operations) };
    settle(operations, false)
}

/// Unmaps grants (C: `HYPERVISOR_grant_table_op()`). May sleep, allocates nothing.
///
/// # Safety
///
/// The operations must stand for mappings that nothing uses, and that are not at the kernel
/// addresses of frames, whose page state this function does not change.
unsafe fn unmap(operations: &mut [bindings::gnttab_unmap_grant_ref]) {
    let command = bindings::GNTTABOP_unmap_grant_ref;
    traced(command, operations.len(), || {
        // SAFETY: The command takes such operations; the rest by this function's safety
        // requirements.
        unsafe { issue(command, operations) }
    });
}

/// Flushes the TLBs of all CPUs of this domain (C: `MMUEXT_TLB_FLUSH_ALL`), which the hypervisor
/// does not do when it maps a grant in place of another page. Does nothing outside of paravirtual
/// domains.
pub(super) fn flush_translations() {
    // SAFETY: The shim may be called from any context.
    unsafe { bindings::xen_rust_flush_translations() };
}

/// Issues `operations` with one hypercall, which stores a status in each of them (C:
/// `gnttab_batch_copy()`). May sleep: if pages of the other domain are paged out, for up to 32
/// seconds, or until the task is killed.
///
/// The caller must have pinned the frames in `operations`, and their contents may change: the
/// hypervisor checks the rights of the grants, not those of the program.
pub(crate) fn copy(operations: &mut [bindings::gnttab_copy]) {
    if operations.is_empty() {
        return;
    }
    for operation in operations.iter_mut() {
        // The status of a failure, in case the call fails as a whole.
        operation.status = bindings::GNTST_general_error as i16;
    }
    // SAFETY: The command takes such operations. The frames of this domain in them are pinned, and
    // their contents may change, as this function requires.
    unsafe { issue_until_answered(bindings::GNTTABOP_copy, operations) };
}

/// Issues `operations` with one hypercall, and repeats those whose pages are paged out. May sleep.
///
/// # Safety
///
/// `command` must take such operations, and it must be safe to issue them.
unsafe fn issue_until_answered<T: Operation>(command: u32, operations: &mut [T]) {
    // SAFETY: By this function's safety requirements.
    let issue = |operations: &mut [T]| unsafe { issue(command, operations) };
    traced(command, operations.len(), || {
        issue(operations);
        retry::repeat_paged_out(operations, pause, issue);
    });
}

/// Issues `operations` with one hypercall (C: `HYPERVISOR_grant_table_op()`). Their statuses say
/// all that its result does.
///
/// # Safety
///
/// `command` must take such operations, and it must be safe to issue them.
unsafe fn issue<T>(command: u32, operations: &mut [T]) {
    // SAFETY: `operations` is an array of this length; the rest by this function's safety
    // requirements.
    unsafe {
        bindings::xen_rust_grant_table_op(
            command,
            operations.as_mut_ptr().cast(),
            operations.len() as u32,
        )
    };
}

/// Sleeps for `milliseconds`, unless the task is being killed. Returns true if it slept.
fn pause(milliseconds: u32) -> bool {
    if fatal_signal_pending() {
        return false;
    }
    fsleep(Delta::from_millis(milliseconds.into()));
    true
}

/// Counts `operations`, which the hypervisor has completed. Returns the number of mapped grants.
fn count_maps(operations: &[bindings::gnttab_map_grant_ref]) -> usize {
    let mapped = operations.iter().filter(|map| succeeded(map)).count();
    Total::GrantHandles.add(mapped);
    let refused = operations.len() - mapped;
    if refused != 0 {
        let full = operations.iter().filter(|map| is_full(map)).count();
        Total::RefusedMaps.add(refused);
        Total::RefusedMapsFull.add(full);
    }
    mapped
}

/// Settles `operations`, which the hypervisor has completed, counts them, and traces them as
/// unmapped from a process, if `user`, or from the kernel. Returns the number of refused ones, and
/// reports the first of these at a limited rate. May sleep.
fn settle(operations: &mut [bindings::gnttab_unmap_grant_ref], user: bool) -> usize {
    let refused = operation::settle_unmaps(operations);
    Total::GrantHandles.subtract(operations.len() - refused);
    if let Some(first) = operations.iter().find(|operation| is_mapped(operation)) {
        // SAFETY: The shim takes any numbers.
        unsafe {
            bindings::xen_rust_report_refused_unmaps(refused as u32, first.handle, first.status)
        };
        Total::RefusedUnmaps.add(refused);
    }
    // SAFETY: The shim takes any numbers.
    unsafe { bindings::xen_rust_trace_unmap(operations.len() as u32, refused as u32, user) };
    // A mapping of which every second page is in use is unmapped by as many calls.
    cond_resched();
    refused
}

/// Calls `hypercall` and traces the time that it takes, with `command` on `count` operations.
fn traced<T>(command: u32, count: usize, hypercall: impl FnOnce() -> T) -> T {
    // SAFETY: The shim reads the clock.
    let begin = unsafe { bindings::xen_rust_trace_hypercall_begin() };
    let result = hypercall();
    // SAFETY: The shim takes any numbers.
    unsafe { bindings::xen_rust_trace_hypercall_end(begin, command, count as u32) };
    result
}
