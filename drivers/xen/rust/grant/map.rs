// SPDX-License-Identifier: GPL-2.0

//! Map operations of grants that are mapped together, as plain values.

use super::operation::{
    self,
    Access,
    GrantReference,
    Target, //
};
use crate::xen::bindings;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// Array for the map operations of grants that are mapped together, in their order. It can be used
/// several times, one after the other.
pub(crate) struct MapOperations {
    operations: KVVec<bindings::gnttab_map_grant_ref>,
}

impl MapOperations {
    /// Makes an array with room for `count` operations, charged to the memory cgroup of the calling
    /// process. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn with_capacity(count: usize) -> Result<Self> {
        Ok(Self {
            operations: KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?,
        })
    }

    /// Replaces the operations by those that map each of `grants` at the target of its index, and
    /// returns these. Allocates nothing.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is no room for so many; the error of a grant.
    pub(super) fn set(
        &mut self,
        grants: impl Iterator<Item = Result<GrantReference>>,
        targets: impl Iterator<Item = Target>,
        access: Access,
    ) -> Result<&mut [bindings::gnttab_map_grant_ref]> {
        self.operations.clear();
        for (grant, target) in grants.zip(targets) {
            self.operations
                .push_within_capacity(operation::map_operation(grant?, target, access))
                .map_err(|_| ENOSPC)?;
        }
        Ok(&mut self.operations)
    }
}
