// SPDX-License-Identifier: GPL-2.0

//! Unmap operations of grants that were mapped together, as plain values.

use super::operation::{
    self,
    is_mapped, //
};
use crate::xen::bindings;
use core::{
    mem,
    ops::Range, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// Unmap operations of grants that were mapped together, in their order.
#[derive(Default)]
pub(crate) struct UnmapOperations {
    /// Operations by index of the grant. An operation with the invalid handle has no grant mapped.
    operations: KVVec<bindings::gnttab_unmap_grant_ref>,
    /// Number of operations that have a grant mapped. At 0 no operation need be looked at.
    mapped: usize,
}

impl UnmapOperations {
    /// Makes an empty array with room for `count` operations, charged to the memory cgroup of the
    /// calling process. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn with_capacity(count: usize) -> Result<Self> {
        Ok(Self {
            operations: KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?,
            mapped: 0,
        })
    }

    /// Adds the operation that undoes each operation of `map`, which the hypervisor has completed.
    /// Returns true if all of them succeeded. Allocates nothing.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is not enough room: the operations that do not fit are not added.
    pub(crate) fn add(&mut self, map: &[bindings::gnttab_map_grant_ref]) -> Result<bool> {
        let before = self.mapped;
        for answer in map {
            let unmap = operation::unmap_operation(answer);
            let mapped = is_mapped(&unmap);
            self.operations
                .push_within_capacity(unmap)
                .map_err(|_| ENOSPC)?;
            self.mapped += usize::from(mapped);
        }
        Ok(self.mapped - before == map.len())
    }

    /// Removes all operations and keeps the room.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if an operation has a grant mapped, in which case all stay.
    pub(crate) fn clear(&mut self) -> Result {
        if self.any_mapped() {
            return Err(EAGAIN);
        }
        self.operations.clear();
        Ok(())
    }

    /// Removes all operations and keeps the room. Returns the number of grants that are still
    /// mapped, because the hypervisor refused to unmap them: nothing can unmap them any more.
    pub(crate) fn abandon(&mut self) -> usize {
        self.operations.clear();
        mem::take(&mut self.mapped)
    }

    /// Puts the operation that undoes `map`, which the hypervisor has completed, at `index`, where
    /// no grant may be mapped. Returns true if `map` succeeded.
    pub(crate) fn replace(&mut self, index: usize, map: &bindings::gnttab_map_grant_ref) -> bool {
        let Some(operation) = self.operations.get_mut(index) else {
            return false;
        };
        let before = usize::from(is_mapped(operation));
        *operation = operation::unmap_operation(map);
        let mapped = is_mapped(operation);
        self.mapped = self.mapped + usize::from(mapped) - before;
        mapped
    }

    /// Returns the number of operations.
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    /// Returns true if the grant at `index` is mapped.
    pub(crate) fn is_mapped(&self, index: usize) -> bool {
        self.operations.get(index).is_some_and(is_mapped)
    }

    /// Returns true if any grant is mapped.
    pub(crate) fn any_mapped(&self) -> bool {
        self.mapped_count() != 0
    }

    /// Returns the number of grants that are mapped.
    pub(crate) fn mapped_count(&self) -> usize {
        self.mapped
    }

    /// Undoes the mappings in `range`. `unmap` is called for each longest run of indices that are
    /// mapped, [settles](operation::settle_unmaps) the operations of the run and returns the number
    /// that the hypervisor refused.
    ///
    /// The unmap functions of the kernel take an array of operations: a gap in it would be an
    /// operation on an invalid handle, which the hypervisor reports as an error of the guest.
    pub(crate) fn for_each_mapped_run(
        &mut self,
        range: Range<usize>,
        unmap: impl FnMut(Range<usize>, &mut [bindings::gnttab_unmap_grant_ref]) -> usize,
    ) {
        self.for_each_free_run(range, |_| true, unmap);
    }

    /// As [`Self::for_each_mapped_run`], for the indices that `is_free` accepts. Returns true if it
    /// accepted all mapped ones.
    pub(crate) fn for_each_free_run(
        &mut self,
        range: Range<usize>,
        is_free: impl Fn(usize) -> bool,
        mut unmap: impl FnMut(Range<usize>, &mut [bindings::gnttab_unmap_grant_ref]) -> usize,
    ) -> bool {
        if !self.any_mapped() {
            return true;
        }
        let mut all = true;
        let mut run = range.start..range.start;
        for index in range {
            let Some(operation) = self.operations.get(index) else {
                break;
            };
            let mapped = is_mapped(operation);
            if mapped && is_free(index) {
                run.end = index + 1;
                continue;
            }
            all &= !mapped;
            self.unmap_run(run, &mut unmap);
            run = index + 1..index + 1;
        }
        self.unmap_run(run, &mut unmap);
        all
    }

    /// Calls `unmap` with the operations of `run`, all of which are mapped, unless `run` is empty.
    fn unmap_run(
        &mut self,
        run: Range<usize>,
        unmap: &mut impl FnMut(Range<usize>, &mut [bindings::gnttab_unmap_grant_ref]) -> usize,
    ) {
        let Some(operations) = self.operations.get_mut(run.clone()) else {
            return;
        };
        if !operations.is_empty() {
            let count = operations.len();
            let refused = unmap(run, operations);
            self.mapped = self.mapped.saturating_sub(count.saturating_sub(refused));
        }
    }
}
