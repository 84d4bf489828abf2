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
    /// Page-table entries of the range are cleared or changed.
    Change,
}

/// Callback for changes of the page tables in an address range.
pub(crate) trait Invalidate: Send + Sync + 'static {
    /// Called when the entries of `pages`, counted from the start of the range, are about to
    /// change. Everything derived from them must be undone before this returns.
    ///
    /// May sleep and take locks, but no holder of these locks may allocate memory: memory reclaim
    /// can be the cause of the change.
    fn invalidate(&self, pages: Range<usize>, event: Event);
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
        // SAFETY: By the type invariants, the notifier is registered.
        unsafe { bindings::mmu_interval_read_begin(this.notifier.get()) };
        Ok(this)
    }

    /// Returns the target of the callbacks.
    pub(crate) fn target(&self) -> &T {
        &self.target
    }

    /// # Safety
    ///
    /// `notifier` must be the field of a `Self`, and `range` valid.
    unsafe extern "C" fn invalidate(
        notifier: *mut bindings::mmu_interval_notifier,
        range: *const bindings::mmu_notifier_range,
        _sequence: usize,
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
            let event = match range.event {
                bindings::mmu_notifier_event_MMU_NOTIFY_UNMAP
                | bindings::mmu_notifier_event_MMU_NOTIFY_RELEASE => Event::Unmap,
                _ => Event::Change,
            };
            let pages = (start - this.start) >> PAGE_SHIFT
                ..(end - this.start).div_ceil(kernel::page::PAGE_SIZE);
            this.target.invalidate(pages, event);
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
