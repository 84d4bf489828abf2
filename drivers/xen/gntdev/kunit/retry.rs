// SPDX-License-Identifier: GPL-2.0

//! Tests of the repetition of operations on pages that are paged out.

#![forbid(unsafe_code)]

use crate::xen::{
    bindings,
    grant::retry::repeat_paged_out, //
};
use kernel::prelude::*;

#[kunit_tests(xen_gntdev_retry)]
mod tests {
    use super::*;

    const OKAY: i16 = bindings::GNTST_okay as i16;
    const PAGED_OUT: i16 = bindings::GNTST_eagain as i16;
    const BAD_PAGE: i16 = bindings::GNTST_bad_page as i16;
    const BAD_REFERENCE: i16 = bindings::GNTST_bad_gntref as i16;

    /// Operations with these answers.
    fn answered<const N: usize>(statuses: [i16; N]) -> [bindings::gnttab_copy; N] {
        statuses.map(|status| bindings::gnttab_copy {
            status,
            ..Default::default()
        })
    }

    fn statuses<const N: usize>(operations: &[bindings::gnttab_copy; N]) -> [i16; N] {
        core::array::from_fn(|index| operations[index].status)
    }

    #[test]
    fn answered_operations_are_not_repeated() {
        let mut operations = answered([OKAY, BAD_REFERENCE, BAD_PAGE]);
        repeat_paged_out(
            &mut operations,
            |_| unreachable!("a pause"),
            |_| unreachable!("a hypercall"),
        );
        assert_eq!(statuses(&operations), [OKAY, BAD_REFERENCE, BAD_PAGE]);
    }

    #[test]
    fn runs_of_paged_out_operations_are_repeated() {
        let mut operations = answered([PAGED_OUT, PAGED_OUT, OKAY, PAGED_OUT, BAD_REFERENCE]);
        let mut lengths = [0; 3];
        let mut calls = 0;
        let mut pauses = 0;
        repeat_paged_out(
            &mut operations,
            |milliseconds| {
                pauses += 1;
                assert_eq!(milliseconds, pauses);
                true
            },
            |run| {
                lengths[calls] = run.len();
                calls += 1;
                // The first attempt brings back one page of two.
                let back = if calls == 1 { 1 } else { run.len() };
                run.iter_mut()
                    .take(back)
                    .for_each(|operation| operation.status = OKAY);
            },
        );
        assert_eq!(calls, 3);
        assert_eq!(lengths, [2, 1, 1]);
        assert_eq!(pauses, 2);
        assert_eq!(
            statuses(&operations),
            [OKAY, OKAY, OKAY, OKAY, BAD_REFERENCE]
        );
    }

    #[test]
    fn all_have_one_time_limit() {
        let mut operations = answered([PAGED_OUT, OKAY, PAGED_OUT]);
        let mut total = 0;
        repeat_paged_out(
            &mut operations,
            |milliseconds| {
                total += milliseconds;
                true
            },
            |_| (),
        );
        assert_eq!(total, 255 * 256 / 2);
        assert_eq!(statuses(&operations), [BAD_PAGE, OKAY, BAD_PAGE]);
    }

    #[test]
    fn a_dying_task_does_not_wait() {
        let mut operations = answered([OKAY, PAGED_OUT]);
        let mut pauses = 0;
        repeat_paged_out(
            &mut operations,
            |_| {
                pauses += 1;
                pauses < 3
            },
            |_| (),
        );
        assert_eq!(pauses, 3);
        assert_eq!(statuses(&operations), [OKAY, BAD_PAGE]);
    }
}
