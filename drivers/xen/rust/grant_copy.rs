// SPDX-License-Identifier: GPL-2.0

//! Copies by the hypervisor from and to granted pages.
//!
//! C header: `include/xen/grant_table.h`, `gnttab_batch_copy()`.

use super::{
    bindings,
    trace, //
};

/// Has the hypervisor do `operations`, with one hypercall, and note the status in each of them (C:
/// `gnttab_batch_copy()`). May sleep, for long if the other domain's pages are paged out.
///
/// The frames that are named must be pinned. What they hold must be allowed to change: the
/// hypervisor checks what the grants allow, not what the program may do.
pub(crate) fn copy(operations: &mut [bindings::gnttab_copy]) {
    if operations.is_empty() {
        return;
    }
    // SAFETY: An array of this length, of operations that the command takes.
    trace::hypercall(bindings::GNTTABOP_copy, operations.len(), || unsafe {
        bindings::gnttab_batch_copy(operations.as_mut_ptr(), operations.len() as u32)
    });
}
