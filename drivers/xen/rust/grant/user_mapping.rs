// SPDX-License-Identifier: GPL-2.0

//! Grants mapped at page-table entries of a process, in paravirtual domains.
//!
//! The hypervisor writes the page-table entry itself, and only the hypervisor may clear it: the
//! kernel may not write an entry with the frame of another domain. So an MMU notifier unmaps the
//! grant before the kernel changes the entry. If the change does not take the page from the
//! process, the grant is mapped again at the next access.
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
    kernel::{
        mmu_notifier::{
            Event,
            IntervalNotifier,
            Invalidate,
            Invalidation, //
        },
        vma::Fault, //
    },
    totals::Total,
};
use core::{
    iter,
    mem,
    ops::Range,
    slice, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    error::to_result,
    mm::virt::{
        flags,
        VmaNew,
        VmaRef, //
    },
    new_mutex,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};

/// Grants of other domains, mapped at the page-table entries of a VMA, in order, as long as the
/// kernel leaves the pages there.
///
/// Before the kernel changes an entry, an MMU notifier unmaps its grant. After an
/// [`Event::Protection`], [`Self::map_again`] maps it; after other events nothing does. Dropping it
/// unmaps the remaining grants; may sleep, but must not happen inside of a notifier.
pub(crate) struct UserMapping<T: UnmapCallbacks> {
    notifier: Pin<KBox<IntervalNotifier<Guard<T>>>>,
}

/// Callbacks when pages leave the process for good: at an [`Event::Unmap`]. The methods are called
/// inside of an MMU notifier, once for each page, for runs of pages counted from the start of the
/// VMA, some of which may already be unmapped. [`Invalidate::invalidate`] says what they may do.
/// They are not called for pages that are left when the mapping is dropped.
///
/// After other events the grants stay in use, also if the process does not get the pages again:
/// another CPU may just have looked up a page and be about to take a reference to it.
pub(crate) trait UnmapCallbacks: Send + Sync + 'static {
    /// Called before the entries of `pages` are unmapped.
    fn before_unmap(&self, _pages: Range<usize>) {}

    /// Called after the entries of `pages` have been unmapped.
    fn after_unmap(&self, _pages: Range<usize>) {}
}

/// No actions.
impl UnmapCallbacks for () {}

impl<T: UnmapCallbacks> UnmapCallbacks for Arc<T> {
    fn before_unmap(&self, pages: Range<usize>) {
        (**self).before_unmap(pages);
    }

    fn after_unmap(&self, pages: Range<usize>) {
        (**self).after_unmap(pages);
    }
}

/// Target of the notifier.
#[pin_data]
struct Guard<T> {
    /// `None` before the grants are mapped, and after they have been unmapped for good. Taken
    /// inside of MMU notifiers: nothing is allocated while it is held.
    #[pin]
    entries: Mutex<Option<Entries>>,
    /// True once the hypervisor has not unmapped an entry that the kernel was about to change.
    kept: Atomic<bool>,
    other: T,
}

/// Arrays of a [`UserMapping`], with one element for each page.
#[derive(Default)]
pub(crate) struct EntryArrays {
    /// Operations that unmap the entries.
    unmap: UnmapOperations,
    /// States by page.
    pages: KVVec<PageState>,
}

/// State of a page of a [`UserMapping`].
#[derive(Clone, Copy)]
enum PageState {
    /// The process has the page, or gets it by an access, with this grant.
    Held(GrantReference),
    /// The process does not have the page any more, and gets none at its address.
    Lost,
    /// Memory that is not of the VMA may be at the address of the page.
    Left,
}

impl EntryArrays {
    /// Makes arrays with room for `count` pages, charged to the memory cgroup of the calling
    /// process. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn with_capacity(count: usize) -> Result<Self> {
        Ok(Self {
            unmap: UnmapOperations::with_capacity(count)?,
            pages: KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?,
        })
    }

    /// Has the process hold the grants of `operations`. Allocates nothing.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is no room for so many.
    fn set_grants(&mut self, operations: &[bindings::gnttab_map_grant_ref]) -> Result {
        self.pages.clear();
        for operation in operations {
            let grant = GrantReference {
                domain: operation.dom,
                reference: operation.ref_,
            };
            self.pages
                .push_within_capacity(PageState::Held(grant))
                .map_err(|_| ENOSPC)?;
        }
        Ok(())
    }
}

impl<T: UnmapCallbacks> UserMapping<T> {
    /// Maps `grants` at the pages of `vma`, with one hypercall. May sleep. If `vma` has no access
    /// rights, [`Self::map_again`] maps them after it has got some. `other` is called when entries
    /// are unmapped. A forked process does not get the VMA: its entries would not be written by the
    /// hypervisor.
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
        let mut arrays = EntryArrays::with_capacity(grants.len())?;
        let (operations, arrays) = (&mut operations, &mut arrays);
        Self::with_arrays(
            vma,
            grants,
            access,
            other,
            operations,
            arrays,
            |_, _| Ok(()),
        )
    }

    /// As [`Self::new`], with arrays that the caller has allocated: all memory that grows with the
    /// number of grants, except for page tables. `arrays` become part of the mapping. Once the
    /// notifier is registered, and before entries are mapped, `prepare` is called with `other` and
    /// `operations`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if a signal is pending: the first notifier of a process takes many locks,
    /// and the kernel gives that up for a signal; the error of `prepare`; `EINVAL` if there are not
    /// as many grants as pages, or if Xen refused one of them; `ENOSPC` if it has no room for more
    /// mappings. None is left mapped then, unless Xen refuses to unmap it, which is counted as
    /// lost. All arrays can be used again.
    pub(crate) fn with_arrays(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        other: T,
        operations: &mut MapOperations,
        arrays: &mut EntryArrays,
        prepare: impl FnOnce(&T, &mut MapOperations) -> Result,
    ) -> Result<Self> {
        vma.set_dontcopy();
        vma.set_mixedmap();
        let notifier = IntervalNotifier::new(
            vma,
            pin_init!(Guard {
                entries <- new_mutex!(None, "UserMapping::entries"),
                kept: Atomic::new(false),
                other,
            }),
        )?;
        prepare(&notifier.target().other, operations)?;
        // Nothing invalidates the range in between: it is not in use before `mmap()` is done.
        let entries = Entries::new(vma, grants, access, operations, arrays)?;
        *notifier.target().entries.lock() = Some(entries);
        Ok(Self { notifier })
    }

    /// Maps the grant whose page-table entry is missing for `fault`, if it was unmapped because of
    /// an [`Event::Protection`]. The rights are those of the VMA now. May sleep.
    ///
    /// Returns without having mapped it if the kernel is changing the entry: the next attempt waits
    /// for that.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the process does not have the page any more, for an access that the first
    /// mapping or the VMA does not allow, or if Xen refuses the grant, also for want of room in its
    /// table of mappings; `ENOMEM`.
    pub(crate) fn map_again(&self, fault: &Fault<'_>) -> Result {
        let page = self.notifier.page_at(fault.address()).ok_or(EFAULT)?;
        let guard = self.notifier.target();
        let sequence = self.notifier.read_begin();
        let operation = match &*guard.entries.lock() {
            Some(entries) => entries.map_operation(page, fault).ok_or(EFAULT)?,
            None => return Err(EFAULT),
        };
        let mut map = [operation];
        // Without the lock, because it allocates missing page tables. If they are freed again,
        // there is a change of the range before that.
        set_targets(&mut map, fault.vma(), fault.address())?;

        let mut entries = guard.entries.lock();
        if self.notifier.has_changed(sequence) {
            return Ok(());
        }
        match &mut *entries {
            // SAFETY: The target is the entry of the page in this address space. There has been no
            // change of the range since before it was looked up, and none goes on while the lock is
            // held, so that its page table is still there.
            Some(entries) => unsafe { entries.map_again(page, &mut map) },
            None => Err(EFAULT),
        }
    }

    /// Returns false once the hypervisor has refused to unmap an entry before the kernel changed
    /// it. The kernel must then find no frame behind the entries of this mapping: it would drop a
    /// reference, and an entry holds none. Never sleeps.
    pub(crate) fn is_intact(&self) -> bool {
        !self.notifier.target().kept.load(Relaxed)
    }

    /// Returns the actions that [`Self::new`] was given.
    pub(crate) fn other(&self) -> &T {
        &self.notifier.target().other
    }
}

impl<T: UnmapCallbacks> Drop for UserMapping<T> {
    fn drop(&mut self) {
        // The entries go before the notifier: without it the kernel could change them meanwhile.
        let entries = self.notifier.target().entries.lock().take();
        drop(entries);
    }
}

impl<T: UnmapCallbacks> Invalidate for Guard<T> {
    fn invalidate(&self, pages: Range<usize>, event: Event, invalidation: Invalidation<'_>) {
        if event == Event::Unmap {
            self.for_each_run_of_vma(pages.clone(), |run| self.other.before_unmap(run));
        }
        {
            let mut entries = self.entries.lock();
            invalidation.announce();
            if let Some(entries) = &mut *entries {
                if entries.unmap(pages.clone()) != 0 {
                    // The kernel looks at the entries after this, in the same thread.
                    self.kept.store(true, Relaxed);
                }
                if event == Event::Protection {
                    entries.forget_refused(pages.clone());
                } else {
                    entries.forget(pages.clone());
                }
            }
        }
        if event == Event::Unmap {
            self.for_each_run_of_vma(pages.clone(), |run| self.other.after_unmap(run));
            if let Some(entries) = &mut *self.entries.lock() {
                entries.leave(pages);
            }
        }
    }
}

impl<T: UnmapCallbacks> Guard<T> {
    /// Calls `callback` for each run of `pages` that have not left the VMA. The notifier also
    /// reports the end of other memory that has come to the addresses of those that have.
    ///
    /// Two calls for the same pages do not overlap. Pages leave a VMA with the mmap lock held, at
    /// least for reading, and new memory takes it for writing. At the end of the address space
    /// nothing else changes it: the OOM reaper's calls must not block, and are refused.
    fn for_each_run_of_vma(&self, mut pages: Range<usize>, callback: impl Fn(Range<usize>)) {
        let first_run = |pages| self.entries.lock().as_ref()?.first_run_of_vma(pages);
        // The lock is not held by `callback`.
        while let Some(run) = first_run(pages.clone()) {
            pages.start = run.end;
            callback(run);
        }
    }
}

/// Grants at page-table entries. An entry must be unmapped before the kernel clears or moves it.
/// Dropping it unmaps the remaining grants.
///
/// # Invariants
///
/// The operations of `arrays.unmap` stand for mappings at page-table entries of a process.
struct Entries {
    arrays: EntryArrays,
    /// Rights that the grants were first mapped with.
    access: Access,
}

impl Entries {
    /// See [`UserMapping::with_arrays`].
    fn new(
        vma: &VmaNew,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        operations: &mut MapOperations,
        arrays: &mut EntryArrays,
    ) -> Result<Self> {
        let count = (vma.end() - vma.start()) >> PAGE_SHIFT;
        if count != grants.len() {
            return Err(EINVAL);
        }
        arrays.unmap.clear()?;
        let nowhere_yet = iter::repeat(Target::UserPageTableEntry(0));
        let map = operations.set(grants, nowhere_yet, access)?;
        arrays.set_grants(map)?;
        if vma.flags() & (flags::READ | flags::WRITE | flags::EXEC) == 0 {
            // The hypervisor would make the pages readable.
            arrays.unmap.add(map)?;
            // INVARIANT: The operations stand for no mapping.
            return Ok(Self {
                arrays: mem::take(arrays),
                access,
            });
        }
        set_targets(map, vma, vma.start())?;
        // INVARIANT: There are no operations yet. Those that are added below undo operations that
        // `set_targets()` has pointed at page-table entries.
        let mut entries = Self {
            arrays: mem::take(arrays),
            access,
        };

        // SAFETY: The page-table entries belong to a VMA that is being set up, with the mmap lock
        // held: they stay allocated, and nothing else uses them. `entries` unmaps the grants before
        // the kernel uses the entries for something else.
        unsafe { hypercall::map(map) };

        if !entries.arrays.unmap.add(map)? {
            let refusal = operation::refusal(map);
            entries.unmap(0..count);
            *arrays = mem::take(&mut entries.arrays);
            // The kernel clears the entries when `mmap()` fails, and a grant is unmapped at its
            // entry only.
            Total::LostHandles.add(arrays.unmap.abandon());
            return Err(refusal);
        }
        Ok(entries)
    }

    /// Returns the operation that maps the grant of `page` again for `fault`, without its target.
    /// `None` if the process does not have the page any more, or no right to the access.
    fn map_operation(
        &self,
        page: usize,
        fault: &Fault<'_>,
    ) -> Option<bindings::gnttab_map_grant_ref> {
        let PageState::Held(grant) = *self.arrays.pages.get(page)? else {
            return None;
        };
        let nowhere_yet = Target::UserPageTableEntry(0);
        let access = self.access_for(fault)?;
        Some(operation::map_operation(grant, nowhere_yet, access))
    }

    /// Returns the rights to map a page with for `fault`: those of the VMA now. `None` if the fault
    /// is an access without rights, by a debugger for example, or if the VMA has rights that the
    /// grants were not mapped with.
    fn access_for(&self, fault: &Fault<'_>) -> Option<Access> {
        let vma = fault.vma().flags();
        if vma & flags::WRITE != 0 {
            return (self.access == Access::ReadWrite).then_some(Access::ReadWrite);
        }
        // The processor may let a program read what it may execute.
        let allowed = vma & (flags::READ | flags::EXEC) != 0 && !fault.is_write();
        allowed.then_some(Access::ReadOnly)
    }

    /// Completes `map`, an operation on the grant of `page`, unless the grant is mapped already:
    /// another thread may have touched the page, too. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT` if Xen refuses the grant.
    ///
    /// # Safety
    ///
    /// The target of `map` must be the page-table entry of the page, which must stay allocated
    /// until the lock of `self` is released.
    unsafe fn map_again(
        &mut self,
        page: usize,
        map: &mut [bindings::gnttab_map_grant_ref; 1],
    ) -> Result {
        if self.arrays.unmap.is_mapped(page) {
            return Ok(());
        }
        // SAFETY: By this function's safety requirements. `self` unmaps the grant before the kernel
        // uses the entry for something else.
        unsafe { hypercall::map(map) };
        // INVARIANT: The operation undoes `map`, whose target is a page-table entry.
        if self.arrays.unmap.replace(page, &map[0]) {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    /// Remembers that the process does not have `pages` any more.
    fn forget(&mut self, pages: Range<usize>) {
        if let Some(states) = self.arrays.pages.get_mut(pages) {
            for state in states {
                if let PageState::Held(_) = state {
                    *state = PageState::Lost;
                }
            }
        }
    }

    /// Remembers that `pages` have left the VMA.
    fn leave(&mut self, pages: Range<usize>) {
        if let Some(states) = self.arrays.pages.get_mut(pages) {
            states.fill(PageState::Left);
        }
    }

    /// Returns the first run of `pages` that have not left the VMA.
    fn first_run_of_vma(&self, pages: Range<usize>) -> Option<Range<usize>> {
        let is_of_vma = |state: &PageState| !matches!(state, PageState::Left);
        let states = self.arrays.pages.get(pages.clone())?;
        let before = states.iter().position(is_of_vma)?;
        let count = states[before..]
            .iter()
            .take_while(|state| is_of_vma(state))
            .count();
        let start = pages.start + before;
        Some(start..start + count)
    }

    /// Remembers that the process does not have those of `pages` any more that the hypervisor did
    /// not unmap: the next access is an error instead of one that is repeated for ever.
    fn forget_refused(&mut self, pages: Range<usize>) {
        for page in pages {
            if self.arrays.unmap.is_mapped(page) {
                self.forget(page..page + 1);
            }
        }
    }

    /// Unmaps the grants at the pages of `range`, some of which may already be unmapped, and
    /// returns the number of those that the hypervisor refused. On return no CPU has a translation
    /// to the other pages. May sleep, allocates nothing.
    fn unmap(&mut self, range: Range<usize>) -> usize {
        let mut all_refused = 0;
        let unmap = &mut self.arrays.unmap;
        unmap.for_each_mapped_run(range, |_, operations| {
            // SAFETY: By the type invariants.
            let refused = unsafe { hypercall::unmap_from_entries(operations) };
            all_refused += refused;
            refused
        });
        all_refused
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        let count = self.arrays.unmap.len();
        self.unmap(0..count);
        Total::LostHandles.add(self.arrays.unmap.mapped_count());
    }
}

/// Sets the target of each of `operations` to the page-table entry of a page of `vma`, in order,
/// from the address `start` on.
///
/// May sleep: it allocates missing page tables.
///
/// # Errors
///
/// `EFAULT` if the pages are not within `vma`; `ENOMEM`.
fn set_targets(
    operations: &mut [bindings::gnttab_map_grant_ref],
    vma: &VmaRef,
    start: usize,
) -> Result {
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

    let length = operations.len() * PAGE_SIZE;
    if start < vma.start() || start.checked_add(length).is_none_or(|end| end > vma.end()) {
        return Err(EFAULT);
    }
    let mut operations: MapOperations<'_> = operations.iter_mut();
    // SAFETY: The range is within a VMA of this address space, a lock of which is held, so that its
    // page tables are not taken down. `set_target()` takes such an iterator.
    to_result(unsafe {
        bindings::apply_to_page_range(
            vma.mm().as_raw(),
            start,
            length,
            Some(set_target),
            (&raw mut operations).cast(),
        )
    })
}
