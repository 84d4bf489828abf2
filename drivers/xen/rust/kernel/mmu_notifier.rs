// SPDX-License-Identifier: GPL-2.0

//! Interval notifiers for the address space of a process.
//!
//! C header: [`include/linux/mmu_notifier.h`](srctree/include/linux/mmu_notifier.h).

use crate::xen::bindings;
use core::{
    ops::Range,
    pin::Pin, //
};
use kernel::{
    error::to_result,
    mm::virt::VmaNew,
    page::PAGE_SHIFT,
    prelude::*,
    types::Opaque, //
};

/// Change that is about to happen to the address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The range is unmapped for good, and its pages cannot be looked up at the same time:
    /// `munmap()`, a move by `mremap()`, or the end of the address space.
    Unmap,
    /// Entries of the range are cleared, or replaced by those of other pages.
    Change,
    /// Rights or marks of the entries change, and the range keeps its pages: `mprotect()`,
    /// userfaultfd, `PAGEMAP_SCAN`, a write to `/proc/PID/clear_refs`.
    Protection,
}

impl Event {
    /// Converts an event of the kernel.
    fn from_raw(event: bindings::mmu_notifier_event) -> Self {
        match event {
            bindings::mmu_notifier_event_MMU_NOTIFY_UNMAP
            | bindings::mmu_notifier_event_MMU_NOTIFY_RELEASE => Self::Unmap,
            bindings::mmu_notifier_event_MMU_NOTIFY_PROTECTION_VMA
            | bindings::mmu_notifier_event_MMU_NOTIFY_PROTECTION_PAGE
            | bindings::mmu_notifier_event_MMU_NOTIFY_SOFT_DIRTY => Self::Protection,
            _ => Self::Change,
        }
    }
}

/// Callback for changes of the page tables in an address range.
pub(crate) trait Invalidate: Send + Sync + 'static {
    /// Called when the entries of `pages`, counted from the start of the range, are about to
    /// change. Everything derived from them must be undone before this returns, and nothing be
    /// derived from them while the change is in progress: see [`Invalidation::announce`].
    ///
    /// May sleep and take locks, but no holder of these locks may allocate memory: memory reclaim
    /// can be the cause of the change.
    fn invalidate(&self, pages: Range<usize>, event: Event, invalidation: Invalidation<'_>);
}

/// A change of the page tables that is about to happen.
pub(crate) struct Invalidation<'a> {
    notifier: &'a Opaque<bindings::mmu_interval_notifier>,
    sequence: usize,
}

impl Invalidation<'_> {
    /// Makes [`IntervalNotifier::has_changed`] true for all sequence numbers of before, and
    /// [`IntervalNotifier::read_begin`] wait for the end of the change (C:
    /// `mmu_interval_set_seq()`). Must be called with the lock held that callers of `has_changed()`
    /// hold.
    pub(crate) fn announce(&self) {
        // SAFETY: The notifier is registered during the callback, and this is the sequence number
        // of the callback.
        unsafe { bindings::xen_rust_interval_set_seq(self.notifier.get(), self.sequence) };
    }
}

/// `T`, called on all changes of the page tables in an address range.
///
/// Dropping it removes the notifier and waits for callbacks in progress, so it must not happen
/// inside of one. May sleep.
///
/// # Invariants
///
/// `notifier` is registered, with [`Self::OPERATIONS`].
#[pin_data(PinnedDrop)]
pub(crate) struct IntervalNotifier<T: Invalidate> {
    /// First address of the range, page-aligned.
    start: usize,
    /// End of the range, page-aligned.
    end: usize,
    #[pin]
    target: T,
    #[pin]
    notifier: Opaque<bindings::mmu_interval_notifier>,
}

// SAFETY: The notifier may be removed from any thread; `T` is `Send`.
unsafe impl<T: Invalidate> Send for IntervalNotifier<T> {}
// SAFETY: `&self` gives access to `T` only, which is `Sync`.
unsafe impl<T: Invalidate> Sync for IntervalNotifier<T> {}

impl<T: Invalidate> IntervalNotifier<T> {
    const OPERATIONS: bindings::mmu_interval_notifier_ops = bindings::mmu_interval_notifier_ops {
        invalidate: Some(Self::invalidate),
        ..pin_init::zeroed()
    };

    /// Registers `target` for the range of `vma` (C: `mmu_interval_notifier_insert_locked()`).
    ///
    /// On return no change that began earlier is still in progress. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EOVERFLOW` if the range is empty or ends beyond the last address.
    pub(crate) fn new(vma: &VmaNew, target: impl PinInit<T>) -> Result<Pin<KBox<Self>>> {
        let (start, end) = (vma.start(), vma.end());
        let vma_start = start;
        let (mm, length) = (vma.mm().as_raw(), end - start);
        // INVARIANT: The initializer of `notifier` registers it, or fails.
        let this = KBox::try_pin_init(
            try_pin_init!(Self {
                start,
                end,
                target <- target,
                // The last field, because callbacks can come from now on.
                notifier <- Opaque::try_ffi_init(move |slot| {
                    // SAFETY: `slot` is pinned memory that stays valid until `drop()` has removed
                    // the notifier. The mmap lock is held for writing, because the VMA is being set
                    // up, and `mm` is the VMA's.
                    to_result(unsafe {
                        bindings::mmu_interval_notifier_insert_locked(
                            slot,
                            mm,
                            vma_start,
                            length,
                            &Self::OPERATIONS,
                        )
                    })
                }),
            }? Error),
            GFP_KERNEL,
        )?;
        this.read_begin();
        Ok(this)
    }

    /// Returns the target of the callbacks.
    pub(crate) fn target(&self) -> &T {
        &self.target
    }

    /// Returns the page of the range that `address` is in, counted from the start of the range.
    pub(crate) fn page_at(&self, address: usize) -> Option<usize> {
        (self.start..self.end)
            .contains(&address)
            .then(|| (address - self.start) >> PAGE_SHIFT)
    }

    /// Waits until no change of the range is in progress, and returns a sequence number for
    /// [`Self::has_changed`] (C: `mmu_interval_read_begin()`). May sleep. The caller may hold the
    /// mmap lock, but no lock of a VMA: a change can wait for that.
    pub(crate) fn read_begin(&self) -> usize {
        // SAFETY: By the type invariants, the notifier is registered.
        unsafe { bindings::mmu_interval_read_begin(self.notifier.get()) }
    }

    /// Returns true if a change of the range began after [`Self::read_begin`] returned `sequence`
    /// (C: `mmu_interval_read_retry()`). Must be called with the lock held that
    /// [`Invalidation::announce`] is called with; until it is released no change goes on.
    pub(crate) fn has_changed(&self, sequence: usize) -> bool {
        // SAFETY: By the type invariants, the notifier is registered.
        unsafe { bindings::xen_rust_interval_read_retry(self.notifier.get(), sequence) }
    }

    /// # Safety
    ///
    /// `notifier` must be the field of a `Self`, and `range` valid.
    unsafe extern "C" fn invalidate(
        notifier: *mut bindings::mmu_interval_notifier,
        range: *const bindings::mmu_notifier_range,
        sequence: usize,
    ) -> bool {
        // SAFETY: By this function's safety requirements.
        if !unsafe { bindings::xen_rust_range_blockable(range) } {
            return false;
        }
        // SAFETY: By this function's safety requirements, `notifier` is a field of a `Self`, which
        // lives until the notifier is removed.
        let this = unsafe {
            &*kernel::container_of!(Opaque::cast_from(notifier).cast_mut(), Self, notifier)
        };
        // SAFETY: By this function's safety requirements.
        let range = unsafe { &*range };

        let start = range.start.max(this.start);
        let end = range.end.min(this.end);
        if start < end {
            let invalidation = Invalidation {
                notifier: &this.notifier,
                sequence,
            };
            let pages = (start - this.start) >> PAGE_SHIFT
                ..(end - this.start).div_ceil(kernel::page::PAGE_SIZE);
            this.target
                .invalidate(pages, Event::from_raw(range.event), invalidation);
        }
        true
    }
}

#[pinned_drop]
impl<T: Invalidate> PinnedDrop for IntervalNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants, the notifier is registered.
        unsafe { bindings::mmu_interval_notifier_remove(self.notifier.get()) };
    }
}
