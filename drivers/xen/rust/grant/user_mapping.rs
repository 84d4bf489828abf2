// SPDX-License-Identifier: GPL-2.0

//! Grants mapped at page-table entries of a process, in paravirtual domains.
//!
//! The hypervisor writes the page-table entry itself, and only the hypervisor may clear it: the
//! kernel may not write an entry with the frame of another domain.
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
    bindings,
    kernel::mmu_notifier::{
        Event,
        IntervalNotifier,
        Invalidate, //
    },
};
use core::{
    iter,
    mem,
    ops::Range,
    slice, //
};
use kernel::{
    error::to_result,
    mm::virt::VmaNew,
    new_mutex,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// Grants of other domains, mapped at the page-table entries of a VMA, in order, as long as the
/// kernel leaves the entries as they are.
///
/// Before the kernel changes an entry, an MMU notifier unmaps its grant. Dropping it unmaps the
/// remaining grants; may sleep, but must not happen inside of a notifier.
pub(crate) struct UserMapping<T: BeforeUnmap> {
    notifier: Pin<KBox<IntervalNotifier<Guard<T>>>>,
}

/// Actions around the unmapping of entries. The methods are called inside of an MMU notifier, for
/// pages counted from the start of the VMA, some of which may already be unmapped.
/// [`Invalidate::invalidate`] says what they may do.
pub(crate) trait BeforeUnmap: Send + Sync + 'static {
    /// Called before the entries of `pages` are unmapped, because of `event`.
    fn before_unmap(&self, _pages: Range<usize>, _event: Event) {}

    /// Called after the entries of `pages` have been unmapped, because of `event`.
    fn after_unmap(&self, _pages: Range<usize>, _event: Event) {}
}

/// No actions.
impl BeforeUnmap for () {}

impl<T: BeforeUnmap> BeforeUnmap for Arc<T> {
    fn before_unmap(&self, pages: Range<usize>, event: Event) {
        (**self).before_unmap(pages, event);
    }

    fn after_unmap(&self, pages: Range<usize>, event: Event) {
        (**self).after_unmap(pages, event);
    }
}

/// Target of the notifier.
#[pin_data]
struct Guard<T> {
    /// `None` before the grants are mapped, and after they have been unmapped for good. Taken
    /// inside of MMU notifiers: nothing is allocated while it is held.
    #[pin]
    entries: Mutex<Option<Entries>>,
    other: T,
}

impl<T: BeforeUnmap> UserMapping<T> {
    /// Maps `grants` at the pages of `vma`, with one hypercall. May sleep. `other` is called when
    /// entries are unmapped. A forked process does not get the VMA: its entries would not be
    /// written by the hypervisor.
    ///
    /// # Errors
    ///
    /// Those of [`Self::with_arrays`].
    pub(crate) fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        other: T,
    ) -> Result<Self> {
        let mut operations = MapOperations::with_capacity(grants.len())?;
        let mut unmap = UnmapOperations::with_capacity(grants.len())?;
        let (operations, unmap) = (&mut operations, &mut unmap);
        Self::with_arrays(vma, grants, access, other, operations, unmap, |_, _| Ok(()))
    }

    /// As [`Self::new`], with arrays that the caller has allocated: all memory that grows with the
    /// number of grants, except for page tables. `unmap` becomes part of the mapping. Once the
    /// notifier is registered, and before entries are mapped, `prepare` is called with `other` and
    /// `operations`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if a signal is pending: the first notifier of a process takes many locks,
    /// and the kernel gives that up for a signal; the error of `prepare`; `EINVAL` if there are not
    /// as many grants as pages, or if Xen refused one of them; `ENOSPC` if it has no room for more
    /// mappings. None is left mapped then, and both arrays can be used again.
    pub(crate) fn with_arrays(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        other: T,
        operations: &mut MapOperations,
        unmap: &mut UnmapOperations,
        prepare: impl FnOnce(&T, &mut MapOperations) -> Result,
    ) -> Result<Self> {
        vma.set_dontcopy();
        vma.set_mixedmap();
        let notifier = IntervalNotifier::new(
            vma,
            pin_init!(Guard {
                entries <- new_mutex!(None, "UserMapping::entries"),
                other,
            }),
        )?;
        prepare(&notifier.target().other, operations)?;
        // Nothing invalidates the range in between: it is not in use before `mmap()` is done.
        let entries = Entries::new(vma, grants, access, operations, unmap)?;
        *notifier.target().entries.lock() = Some(entries);
        Ok(Self { notifier })
    }

    /// Returns the actions that [`Self::new`] was given.
    pub(crate) fn other(&self) -> &T {
        &self.notifier.target().other
    }
}

impl<T: BeforeUnmap> Drop for UserMapping<T> {
    fn drop(&mut self) {
        // The entries go before the notifier: without it the kernel could change them meanwhile.
        let entries = self.notifier.target().entries.lock().take();
        drop(entries);
    }
}

impl<T: BeforeUnmap> Invalidate for Guard<T> {
    fn invalidate(&self, pages: Range<usize>, event: Event) {
        self.other.before_unmap(pages.clone(), event);
        if let Some(entries) = &mut *self.entries.lock() {
            entries.unmap(pages.clone());
        }
        self.other.after_unmap(pages, event);
    }
}

/// Grants at page-table entries. An entry must be unmapped before the kernel clears or moves it.
/// Dropping it unmaps the remaining grants.
///
/// # Invariants
///
/// The operations of `unmap` stand for mappings at page-table entries of a process.
struct Entries {
    /// Unmap operations, one for each page.
    unmap: UnmapOperations,
}

impl Entries {
    /// See [`UserMapping::with_arrays`].
    fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        operations: &mut MapOperations,
        unmap: &mut UnmapOperations,
    ) -> Result<Self> {
        let count = (vma.end() - vma.start()) >> PAGE_SHIFT;
        if count != grants.len() {
            return Err(EINVAL);
        }
        unmap.clear()?;
        let nowhere_yet = iter::repeat(Target::UserPageTableEntry(0));
        let map = operations.set(grants, nowhere_yet, access)?;
        set_targets(map, vma)?;
        // INVARIANT: There are no operations yet. Those that are added below undo operations that
        // `set_targets()` has pointed at page-table entries.
        let mut entries = Self {
            unmap: mem::take(unmap),
        };

        // SAFETY: The page-table entries belong to a VMA that is being set up, with the mmap lock
        // held: they stay allocated, and nothing else uses them. `entries` unmaps the grants before
        // the kernel uses the entries for something else.
        unsafe { hypercall::map_at_entries(map) };

        if !entries.unmap.add(map)? {
            let refusal = operation::refusal(map);
            entries.unmap(0..count);
            *unmap = mem::take(&mut entries.unmap);
            return Err(refusal);
        }
        Ok(entries)
    }

    /// Unmaps the grants at the pages of `range`, some of which may already be unmapped. On return
    /// no CPU has a translation to these pages. May sleep, allocates nothing.
    fn unmap(&mut self, range: Range<usize>) {
        self.unmap
            // SAFETY: By the type invariants.
            .for_each_mapped_run(range, |_, operations| unsafe {
                hypercall::unmap_from_entries(operations)
            });
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        let count = self.unmap.len();
        self.unmap(0..count);
    }
}

/// Sets the target of each of `operations` to the page-table entry of the page of `vma` with the
/// same index.
///
/// May sleep: it allocates missing page tables.
fn set_targets(operations: &mut [bindings::gnttab_map_grant_ref], vma: &VmaNew) -> Result {
    type MapOperations<'a> = slice::IterMut<'a, bindings::gnttab_map_grant_ref>;

    /// Called for each page in order, with the lock of the page table held.
    extern "C" fn set_target(
        entry: *mut kernel::bindings::pte_t,
        _address: usize,
        operations: *mut c_void,
    ) -> c_int {
        // SAFETY: `operations` is the iterator that is passed below, and nothing else uses it
        // meanwhile.
        let operations = unsafe { &mut *operations.cast::<MapOperations<'_>>() };
        // SAFETY: The caller passes a valid page-table entry.
        let address = unsafe { bindings::xen_rust_pte_machine_address(entry) };
        match operations.next() {
            Some(operation) => {
                operation.host_addr = address;
                0
            }
            None => ENOSPC.to_errno(),
        }
    }

    let mut operations: MapOperations<'_> = operations.iter_mut();
    // SAFETY: The range is that of a VMA of this address space, whose mmap lock is held because the
    // VMA is being set up. `set_target()` takes such an iterator.
    to_result(unsafe {
        bindings::apply_to_page_range(
            vma.mm().as_raw(),
            vma.start(),
            vma.end() - vma.start(),
            Some(set_target),
            (&raw mut operations).cast(),
        )
    })
}
