// SPDX-License-Identifier: GPL-2.0

//! Pages of this domain that another domain may map.
//!
//! C header: `include/xen/grant_table.h`.

use super::{
    bindings,
    errno, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    error::to_result,
    prelude::*, //
};

/// How many grant references are taken from the kernel in one go.
const BATCH: usize = 1024;

/// Whether anything keeps memory from being reused while another domain still has it mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Aftermath {
    /// No other domain has any of it mapped, or the kernel holds the pages until it has not.
    Safe,
    /// Some pages that another domain has mapped have no reference count to hold them by: whoever
    /// keeps them must keep them for good.
    KeepMemory,
}

/// Grants of pages of this domain to another one, for reading and writing.
///
/// Dropping it takes the grants back. A page that the other domain has mapped is left to the
/// kernel, which holds it, tries again from time to time, and does not use the reference for
/// anything else before. May sleep.
///
/// # Invariants
///
/// Each element of `references` is a reference of ours that grants the frame at the same index of
/// `frames`, which has a `struct page`.
pub(crate) struct GrantedPages {
    references: KVVec<u32>,
    frames: KVVec<u64>,
}

impl GrantedPages {
    /// Takes `frames`, which are page frame numbers as this kernel counts them, and grants none of
    /// them yet. May sleep. The memory must stay as long as the value does.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(frames: KVVec<u64>) -> Result<Self> {
        let count = frames.len();
        // INVARIANT: There are no references.
        Ok(Self {
            references: KVVec::with_capacity(count, GFP_KERNEL | __GFP_NOWARN)?,
            frames,
        })
    }

    /// Grants all frames to `domain`, which can map them from then on. May sleep.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for a frame that is not memory with a `struct page`; `ENOSPC` if there are not
    /// enough grant references. Some of the frames may be granted then, and in use already.
    pub(crate) fn grant(&mut self, domain: u16) -> Result {
        while self.references.len() < self.frames.len() {
            let left = self.frames.len() - self.references.len();
            self.grant_batch(BATCH.min(left), domain)?;
        }
        Ok(())
    }

    /// Grants the next `count` frames to `domain`.
    fn grant_batch(&mut self, count: usize, domain: u16) -> Result {
        let mut pool = ReferencePool::new(count)?;
        let first = self.references.len();
        for frame in self.frames.iter().skip(first).take(count) {
            let mut gfn = 0;
            // SAFETY: The shim takes any number, and `gfn` can be written.
            if !unsafe { bindings::xen_rust_frame_gfn(*frame, &mut gfn) } {
                return Err(errno::not_supported());
            }
            let reference = pool.claim()?;
            // INVARIANT: The reference is ours now, and grants the frame, which has a page.
            self.references.push_within_capacity(reference)?;
            // SAFETY: The reference is ours, and grants nothing yet. The hypervisor knows the
            // frame by this number.
            unsafe {
                bindings::gnttab_grant_foreign_access_ref(reference, domain, gfn as c_ulong, 0)
            };
        }
        Ok(())
    }

    /// The references, in the order of the frames.
    pub(crate) fn references(&self) -> &[u32] {
        &self.references
    }

    /// Takes the grants back, as dropping it does, and says what that means for the memory. The
    /// number is that of pages which the other domain has mapped.
    pub(crate) fn end(mut self) -> (Aftermath, usize) {
        self.take_back()
    }

    fn take_back(&mut self) -> (Aftermath, usize) {
        let mut aftermath = Aftermath::Safe;
        let mut mapped = 0;
        for (reference, frame) in self.references.iter().zip(self.frames.iter()) {
            // SAFETY: By the type invariants, the reference is ours. It is forgotten below.
            if unsafe { bindings::gnttab_try_end_foreign_access(*reference) } != 0 {
                continue;
            }
            mapped += 1;
            // SAFETY: By the type invariants, the frame has a page.
            if unsafe { bindings::xen_rust_frame_page_count(*frame) } > 0 {
                // SAFETY: As above. Without a page as argument the function takes a reference to
                // the one that is granted, which this one has to give.
                unsafe { bindings::gnttab_end_foreign_access(*reference, core::ptr::null_mut()) };
            } else {
                aftermath = Aftermath::KeepMemory;
            }
        }
        if aftermath == Aftermath::KeepMemory {
            pr_warn!("another domain uses pages that cannot be held one by one\n");
        }
        self.references.clear();
        (aftermath, mapped)
    }
}

impl Drop for GrantedPages {
    fn drop(&mut self) {
        let _ = self.take_back();
    }
}

/// Free grant references that nobody else gets. Dropping it gives them back.
///
/// # Invariants
///
/// `head` is a list that `gnttab_alloc_grant_references()` made.
struct ReferencePool {
    head: u32,
}

impl ReferencePool {
    fn new(count: usize) -> Result<Self> {
        let count = u16::try_from(count).map_err(|_| ENOSPC)?;
        let mut head = 0;
        // SAFETY: `head` can be written.
        to_result(unsafe { bindings::gnttab_alloc_grant_references(count, &mut head) })?;
        // INVARIANT: The function made it.
        Ok(Self { head })
    }

    fn claim(&mut self) -> Result<u32> {
        // SAFETY: By the type invariants.
        let reference = unsafe { bindings::gnttab_claim_grant_reference(&mut self.head) };
        u32::try_from(reference).map_err(|_| Error::from_errno(reference))
    }
}

impl Drop for ReferencePool {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; an empty list is one, too.
        unsafe { bindings::gnttab_free_grant_references(self.head) };
    }
}
