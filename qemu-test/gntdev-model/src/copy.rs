// SPDX-License-Identifier: GPL-2.0

//! Copy operations, in place of `grant/copy.rs` of the kernel.

use crate::{bindings::gnttab_copy, xen::grant::operation::GrantReference};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyEnd {
    Frame(u64, u16),
    Grant(GrantReference, u16),
}

pub(crate) fn copy_operation(source: CopyEnd, dest: CopyEnd, len: u16) -> gnttab_copy {
    gnttab_copy {
        source,
        dest,
        len,
        status: 0,
    }
}
