// SPDX-License-Identifier: GPL-2.0

//! Grants at contiguous addresses of the kernel, for paravirtual domains.
//!
//! The kernel of such a domain cannot map frames of another domain itself: only the hypervisor may
//! write such a page-table entry, as part of mapping the grant. The hypervisor therefore maps the
//! grants a second time, in a range of addresses that has page tables.
//!
//! C header: `include/xen/grant_table.h`.

use super::{
    hypercall,
    map::MapOperations,
    operation::{
        self,
        Access,
        GrantReference,
        Target, //
    },
    unmap::UnmapOperations, //
};
use crate::xen::{
    kernel::vmap::VmapRange,
    totals::Total, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// Grants at contiguous addresses of the kernel. Dropping it unmaps them; may sleep, allocates
/// nothing.
///
/// Each grant takes an additional entry in the hypervisor's table of the mappings of this domain.
/// The addresses have no `struct page`.
pub(crate) struct ContiguousMapping {
    /// Unmap operations of the grants, in their order.
    unmap: UnmapOperations,
    range: ManuallyDrop<VmapRange>,
    /// Page that `range` was made of, at each of its addresses. The hypervisor replaces it by the
    /// grants, and drops its references to it.
    placeholder: ManuallyDrop<Page>,
}

impl ContiguousMapping {
    /// Maps `grants`, in order, with one hypercall. May sleep, for long if pages of the granting
    /// domain are paged out. Paravirtual domains only.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if the hypervisor refuses a grant; `ENOSPC` if it has no room for more
    /// mappings. None stays mapped then.
    pub(crate) fn new(
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
    ) -> Result<Self> {
        let count = grants.len();
        let unmap = UnmapOperations::with_capacity(count)?;
        let placeholder = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;
        let mut mapping = Self {
            unmap,
            range: ManuallyDrop::new(new_range(&placeholder, count)?),
            placeholder: ManuallyDrop::new(placeholder),
        };
        let mut operations = MapOperations::with_capacity(count)?;
        let addresses = (mapping.address().as_ptr() as u64..).step_by(PAGE_SIZE);
        let map = operations.set(grants, addresses.map(Target::Kernel), access)?;

        // SAFETY: The addresses are those of the range, which nothing uses yet. `mapping` unmaps
        // the grants before it frees the range.
        unsafe { hypercall::map(map) };

        if !mapping.unmap.add(map)? {
            return Err(operation::refusal(map));
        }
        // A CPU may have cached a translation to the placeholder speculatively.
        hypercall::flush_translations();
        Ok(mapping)
    }

    /// Returns the address of the first page.
    pub(crate) fn address(&self) -> NonNull<c_void> {
        self.range.address()
    }
}

impl Drop for ContiguousMapping {
    fn drop(&mut self) {
        let count = self.unmap.len();
        self.unmap
            // SAFETY: The operations stand for mappings at the addresses of the range, which the
            // owner of this value does not use any more.
            .for_each_mapped_run(0..count, |_, operations| unsafe {
                hypercall::unmap_from_addresses(operations)
            });
        if self.unmap.any_mapped() {
            Total::LostHandles.add(self.unmap.mapped_count());
            // The hypervisor refused, which was reported. The range must not be used again.
            return;
        }
        // SAFETY: `range` is not used after this.
        unsafe { ManuallyDrop::drop(&mut self.range) };
        // SAFETY: `placeholder` is not used after this.
        unsafe { ManuallyDrop::drop(&mut self.placeholder) };
    }
}

/// Makes a range of `count` pages, each of which is `placeholder`.
fn new_range(placeholder: &Page, count: usize) -> Result<VmapRange> {
    let pages = KVVec::from_elem(
        placeholder.as_ptr(),
        count,
        GFP_KERNEL_ACCOUNT | __GFP_NOWARN,
    )?;
    // SAFETY: The page is valid, and its owner frees it after the range.
    unsafe { VmapRange::without_pages(&pages) }
}
