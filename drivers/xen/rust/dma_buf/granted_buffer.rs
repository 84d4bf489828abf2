// SPDX-License-Identifier: GPL-2.0

//! Pages of a dma-buf of this domain that another domain may map.
//!
//! C header: `include/xen/grant_table.h`.

use super::import::MappedBuffer;
use crate::xen::{
    bindings,
    grant::{
        deferred::{
            self,
            Deferred,
            Link, //
        },
        failing_call, //
    },
    kernel::errno,
    totals::{
        Held,
        Total, //
    },
};
use core::mem::ManuallyDrop;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    error::to_result,
    prelude::*, //
};

/// Number of grant references that are allocated from the kernel at once.
const BATCH: usize = 1024;

/// Grants of the pages of a dma-buf to another domain, for reading and writing.
///
/// Dropping it revokes the grants and releases the buffer. As long as the other domain has one of
/// the pages mapped the buffer stays attached and mapped, so that its exporter does not reuse its
/// memory, and the reference is not reused: see [`deferred`]. May sleep. The caller must hold a
/// reference to the module, as an open file does.
pub(crate) struct GrantedBuffer {
    granted: ManuallyDrop<Pin<KBox<Granted>>>,
}

/// State of a [`GrantedBuffer`]. Dropped when none of the pages is granted any more.
///
/// # Invariants
///
/// Each element of `references` is a reference that this value owns, and that grants a page of
/// `buffer`.
struct Granted {
    references: KVVec<u32>,
    buffer: MappedBuffer,
    _count: Held,
    link: Link,
}

impl GrantedBuffer {
    /// Takes `buffer`, without granting any of its pages yet, and allocates room for `count` of
    /// them. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(buffer: MappedBuffer, count: usize) -> Result<Self> {
        // INVARIANT: There are no references.
        let granted = Granted {
            references: KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?,
            buffer,
            _count: Total::Imports.hold(1),
            link: Link::default(),
        };
        Ok(Self {
            granted: ManuallyDrop::new(KBox::pin(granted, GFP_KERNEL)?),
        })
    }

    /// Grants the frames of the buffer, in their order, to `domain`, which can map them from then
    /// on. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the memory of the buffer ends beyond the last address; `EOPNOTSUPP` for memory
    /// without a `struct page`; `ENOSPC` if there are not enough grant references, or more frames
    /// than room for them. Some of the frames may then be granted, and already be in use.
    pub(crate) fn grant(&mut self, domain: u16) -> Result {
        let before = self.granted.references.len();
        let result = self.granted.grant(domain);
        Total::GrantedReferences.add(self.granted.references.len() - before);
        result
    }

    /// Returns the references, in the order of the frames.
    pub(crate) fn references(&self) -> &[u32] {
        &self.granted.references
    }

    /// Revokes the grants, as dropping it does, and returns the number of pages that the other
    /// domain still has mapped.
    pub(crate) fn end(mut self) -> usize {
        self.granted.end_unmapped()
    }
}

impl Drop for GrantedBuffer {
    fn drop(&mut self) {
        // SAFETY: `self.granted` is not used after this.
        let granted = unsafe { ManuallyDrop::take(&mut self.granted) };
        deferred::finish(granted);
    }
}

impl Granted {
    /// See [`GrantedBuffer::grant`].
    fn grant(&mut self, domain: u16) -> Result {
        let mut pool: Option<ReferencePool> = None;
        for segment in self.buffer.segments() {
            let frames = segment.frames().ok_or(EINVAL)?;
            // SAFETY: The shim takes any numbers.
            if !unsafe { bindings::xen_rust_frames_valid(frames.start, frames.end) } {
                return Err(errno::not_supported());
            }
            for frame in frames {
                if pool.as_ref().is_none_or(ReferencePool::is_empty) {
                    let room = self.references.capacity() - self.references.len();
                    pool = Some(ReferencePool::new(room.min(BATCH))?);
                }
                let reference = pool.as_mut().ok_or(ENOSPC)?.claim()?;
                // INVARIANT: The reference was just claimed, and is about to grant the frame.
                self.references.push_within_capacity(reference)?;
                // SAFETY: The reference was just claimed, and grants nothing yet. The number is the
                // gfn of the frame, which is a valid one.
                unsafe {
                    bindings::gnttab_grant_foreign_access_ref(
                        reference,
                        domain,
                        bindings::xen_rust_frame_gfn(frame) as c_ulong,
                        0,
                    )
                };
            }
        }
        Ok(())
    }

    /// Revokes the grants of pages that the other domain does not have mapped, and returns the
    /// number of the others.
    fn end_unmapped(&mut self) -> usize {
        let before = self.references.len();
        self.references.retain(|reference| {
            // SAFETY: By the type invariants, this value owns the reference. It is removed from the
            // array if the function freed it.
            unsafe { bindings::gnttab_try_end_foreign_access(*reference) == 0 }
        });
        let left = self.references.len();
        Total::GrantedReferences.subtract(before - left);
        left
    }
}

impl Deferred for Granted {
    fn try_finish(self: Pin<&mut Self>) -> bool {
        self.get_mut().end_unmapped() == 0
    }

    fn link(self: Pin<&mut Self>) -> &mut Link {
        &mut self.get_mut().link
    }
}

/// Free grant references, reserved for this pool. Dropping it frees them.
///
/// # Invariants
///
/// `head` is a list that `gnttab_alloc_grant_references()` made.
struct ReferencePool {
    head: u32,
    /// Number of references in the list.
    left: usize,
}

impl ReferencePool {
    /// Allocates `count` references.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if `count` is 0 or there are not enough.
    fn new(count: usize) -> Result<Self> {
        let length = u16::try_from(count).map_err(|_| ENOSPC)?;
        if length == 0 {
            return Err(ENOSPC);
        }
        let mut head = 0;
        // SAFETY: `head` can be written.
        to_result(unsafe { failing_call::gnttab_alloc_grant_references(length, &mut head) })?;
        // INVARIANT: The function made the list.
        Ok(Self { head, left: count })
    }

    fn is_empty(&self) -> bool {
        self.left == 0
    }

    fn claim(&mut self) -> Result<u32> {
        // SAFETY: By the type invariants.
        let reference = unsafe { bindings::gnttab_claim_grant_reference(&mut self.head) };
        let reference = u32::try_from(reference).map_err(|_| Error::from_errno(reference))?;
        self.left = self.left.saturating_sub(1);
        Ok(reference)
    }
}

impl Drop for ReferencePool {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; an empty list is one, too.
        unsafe { bindings::gnttab_free_grant_references(self.head) };
    }
}
