// SPDX-License-Identifier: GPL-2.0

//! Repetition of operations whose pages are paged out by the domain that granted them.
//!
//! The functions neither call the hypervisor nor sleep themselves, so that KUnit tests all of them.

use crate::xen::bindings;
use core::ops::Range;

/// Longest pause between two attempts, in milliseconds. The pauses grow from 1 by 1, as in the
/// kernel's `gnttab_batch_copy()`, and amount to 32 seconds.
const LONGEST_PAUSE: u32 = 255;

const PAGED_OUT: i16 = bindings::GNTST_eagain as i16;

/// Operation of the grant table hypercall whose page can be paged out.
pub(crate) trait Operation {
    /// Returns the status that the hypervisor stored.
    fn status(&mut self) -> &mut i16;
}

impl Operation for bindings::gnttab_map_grant_ref {
    fn status(&mut self) -> &mut i16 {
        &mut self.status
    }
}

impl Operation for bindings::gnttab_copy {
    fn status(&mut self) -> &mut i16 {
        &mut self.status
    }
}

/// Repeats those of `operations` that have the status `GNTST_eagain`, until none has it. `issue`
/// issues operations; `pause` sleeps for the given number of milliseconds and returns true if there
/// is to be another attempt.
///
/// All operations share one time limit. Those that are left at its end, or when `pause` returned
/// false, get the status `GNTST_bad_page`.
pub(crate) fn repeat_paged_out<T: Operation>(
    operations: &mut [T],
    mut pause: impl FnMut(u32) -> bool,
    mut issue: impl FnMut(&mut [T]),
) {
    for duration in 1..=LONGEST_PAUSE {
        if next_run(operations, 0).is_empty() {
            return;
        }
        if !pause(duration) {
            break;
        }
        let mut from = 0;
        loop {
            let run = next_run(operations, from);
            from = run.end;
            match operations.get_mut(run) {
                Some(run) if !run.is_empty() => issue(run),
                _ => break,
            }
        }
    }
    for operation in operations {
        if *operation.status() == PAGED_OUT {
            *operation.status() = bindings::GNTST_bad_page as i16;
        }
    }
}

/// Returns the first run of operations from index `from` on whose pages are paged out, up to the
/// next operation that is answered. The range is empty if there is none.
fn next_run<T: Operation>(operations: &mut [T], from: usize) -> Range<usize> {
    let mut run = from..from;
    for (index, operation) in operations.iter_mut().enumerate().skip(from) {
        if *operation.status() == PAGED_OUT {
            if run.is_empty() {
                run.start = index;
            }
            run.end = index + 1;
        } else if !run.is_empty() {
            break;
        }
    }
    run
}
