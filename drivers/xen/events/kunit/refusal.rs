// SPDX-License-Identifier: GPL-2.0

//! Tests of the reasons for which the hypervisor refuses the FIFO ABI.

#![forbid(unsafe_code)]

use crate::refusal::Refusal;
use kernel::prelude::*;

#[kunit_tests(xen_evtchn_fifo_refusal)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_reason() {
        // Xen returns 38 (ENOSYS) for an operation that it does not know, 95 (EOPNOTSUPP) for one
        // that it does not offer, and 22 (EINVAL) for a vCPU that has a control block.
        for (errno, refusal) in [
            (38, Refusal::NotOffered),
            (95, Refusal::NotOffered),
            (22, Refusal::InUse),
            (12, Refusal::Other),
            (2, Refusal::Other),
        ] {
            assert_eq!(Refusal::from(Error::from_errno(-errno)), refusal);
        }
    }
}
