// SPDX-License-Identifier: GPL-2.0

//! Reasons for which the hypervisor refuses the first control block, and thereby the FIFO ABI.

#![forbid(unsafe_code)]

use kernel::{
    bindings::{
        EINVAL,
        ENOSYS,
        EOPNOTSUPP, //
    },
    prelude::Error, //
};

/// Reason for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The hypervisor lacks the ABI, or does not offer it to this domain.
    NotOffered,
    /// The vCPU has a control block: the kernel before this one registered it, and the hypervisor
    /// was not told that another kernel was started.
    InUse,
    /// Another reason, such as a lack of memory.
    Other,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.to_errno().unsigned_abs() {
            ENOSYS | EOPNOTSUPP => Self::NotOffered,
            EINVAL => Self::InUse,
            _ => Self::Other,
        }
    }
}
