// SPDX-License-Identifier: GPL-2.0

//! List of mappings and grants that have ended for their owner but cannot be undone yet.
//!
//! A page of a mapping can be in use when the mapping ends: it is pinned for direct I/O, in a
//! network buffer, or in the page tables of a forked process. The grant must stay mapped until that
//! use ends. Likewise, a page of this domain can still be mapped by the domain that it is granted
//! to when the grant is revoked: the page must not be reused until it is unmapped. The process that
//! gives up the mapping or the grant must not wait for either.
//!
//! Such mappings and grants are put on a list, and a delayed work item retries each of them with
//! growing delays, independently of the other entries. (The C counterpart for mappings is
//! `gnttab_unmap_refs_async()`, whose callback may still run when the module that it is in has been
//! unloaded.)
//!
//! A second list has mappings whose grants are unmapped, but whose frames the owner must not give
//! back itself, because it holds the mmap lock. A work item of its own drops them at once.
//!
//! While a list has an entry the module cannot be unloaded.

use crate::xen::{
    bindings,
    kernel::{
        module,
        sched::cond_resched, //
    },
    totals::{
        Held,
        Total, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        global_lock, //
    },
    time::{
        msecs_to_jiffies,
        Delta,
        Instant,
        Monotonic, //
    },
    types::Opaque, //
};

/// Delay before the first look at an entry, in milliseconds. Each further look at it is delayed by
/// as much longer. Also the shortest time between two runs of the work.
const DELAY_STEP: u32 = 5;

/// Longest delay between two looks at an entry, in milliseconds.
const DELAY_MAX: u32 = 1000;

/// Object whose end may have to wait until others release its pages.
///
/// Dropping it after [`Self::try_finish`] returned `true` frees all that it owns. Both may sleep,
/// and allocate nothing.
pub(crate) trait Deferred: Send + Sync {
    /// Undoes as much as is possible now. Returns true if nothing is left to undo.
    fn try_finish(self: Pin<&mut Self>) -> bool;

    /// Called once, before the object is put on the list.
    fn on_defer(&self) {}

    /// Returns the link to the next entry of the list, which is empty while the object is not on
    /// the list.
    fn link(self: Pin<&mut Self>) -> &mut Link;
}

/// Link of the list; a field of each [`Deferred`] type.
#[derive(Default)]
pub(crate) struct Link {
    next: Option<Entry>,
    /// Last delay of a look, in milliseconds.
    delay: u32,
    /// Time of the next look; `None` until the object is put on the list.
    due: Option<Instant<Monotonic>>,
}

impl Link {
    /// Delays the next look for longer than the last one, and returns its time.
    fn put_off(&mut self) -> Instant<Monotonic> {
        self.delay = (self.delay + DELAY_STEP).min(DELAY_MAX);
        let due = Instant::now() + Delta::from_millis(self.delay.into());
        self.due = Some(due);
        due
    }
}

/// Ends `deferred` now, or as soon as that is possible.
///
/// May sleep, allocates nothing. Must be called while the caller still holds a reference to the
/// module, as an open file or a VMA of one does.
pub(crate) fn finish<T: Deferred + 'static>(mut deferred: Pin<KBox<T>>) {
    if deferred.as_mut().try_finish() {
        return;
    }
    defer(Entry::new(deferred));
}

/// Ends `deferred` as [`finish`] does, but leaves its drop to a work item that runs at once. For a
/// caller that holds a lock inside of which the drop must not happen.
///
/// The same context as for [`finish`].
pub(crate) fn hand_over<T: Deferred + 'static>(mut deferred: Pin<KBox<T>>) {
    let undone = deferred.as_mut().try_finish();
    let mut entry = Entry::new(deferred);
    if !undone || !READY.load(Acquire) {
        defer(entry);
        return;
    }
    let mut pending = PENDING.lock();
    let rest = pending.ended.take();
    let first = rest.is_none();
    entry.as_mut().link().next = rest;
    pending.ended = Some(entry);
    if first {
        // SAFETY: The module is alive: by the requirement of `finish()`, something holds it.
        unsafe { bindings::__module_get(module::this_module()) };
        // SAFETY: `DROP_WORK` is initialized, because `READY` is set.
        unsafe { DROP_WORK.run_in(0) };
    }
}

/// Entry of a list.
///
/// # Invariants
///
/// The value is pinned: it is used by [`Self::as_mut`] only, and dropped where it is.
struct Entry {
    value: KBox<dyn Deferred>,
    _count: Held,
}

impl Entry {
    fn new<T: Deferred + 'static>(value: Pin<KBox<T>>) -> Self {
        // INVARIANT: The value was pinned before.
        // SAFETY: By the type invariants, nothing is going to move the value.
        let value = unsafe { Pin::into_inner_unchecked(value) };
        Self {
            value,
            _count: Total::Deferred.hold(1),
        }
    }

    fn as_mut(&mut self) -> Pin<&mut dyn Deferred> {
        // SAFETY: By the type invariants, the value is pinned.
        unsafe { Pin::new_unchecked(&mut *self.value) }
    }
}

/// Returns true if `first` is before `second`. (The derived comparison of instants requires a clock
/// type that can be compared itself, unlike `Monotonic`.)
fn is_before(first: Instant<Monotonic>, second: Instant<Monotonic>) -> bool {
    (first - second).is_negative()
}

/// Entries of the lists, and the state of the work item.
struct Pending {
    /// First entry; the others follow through [`Deferred::link`].
    first: Option<Entry>,
    /// First entry of those that only wait to be dropped; the others follow likewise.
    ended: Option<Entry>,
    /// Time of the next run of `WORK`; `None` if it is not scheduled.
    next_run: Option<Instant<Monotonic>>,
}

impl Pending {
    /// Adds `entry` to the list of those that cannot be undone yet.
    fn push(&mut self, mut entry: Entry) {
        entry.as_mut().link().next = self.first.take();
        self.first = Some(entry);
    }

    /// Schedules `WORK` for the time `due`, unless it is scheduled for an earlier time.
    fn run_at(&mut self, due: Instant<Monotonic>) {
        if self
            .next_run
            .is_some_and(|planned| !is_before(due, planned))
        {
            return;
        }
        self.next_run = Some(due);
        let delay = (due - Instant::now()).as_millis() + 1;
        // SAFETY: `WORK` is initialized, because the callers found `READY` set or run in the work.
        unsafe { WORK.run_in(delay.clamp(0, DELAY_MAX.into()) as u32) };
    }
}

global_lock! {
    // SAFETY: Initialized by `Worker::new()`, and not used before `READY` says so.
    unsafe(uninit) static PENDING: Mutex<Pending> = Pending {
        first: None,
        ended: None,
        next_run: None,
    };
}

/// The work item that looks at the list. Initialized by `Worker::new()`, and not used before
/// `READY` is set.
static WORK: Work = Work(Opaque::zeroed());

/// The work item that drops the entries of the second list; initialized and used as `WORK`.
static DROP_WORK: Work = Work(Opaque::zeroed());

/// True once there has been a [`Worker`].
static CLAIMED: Atomic<bool> = Atomic::new(false);

/// True while `PENDING`, `WORK` and `DROP_WORK` may be used.
static READY: Atomic<bool> = Atomic::new(false);

struct Work(Opaque<bindings::delayed_work>);

// SAFETY: The workqueue functions may be called from any thread, also at the same time.
unsafe impl Sync for Work {}

impl Work {
    /// Schedules the work in `delay` milliseconds, also if it was scheduled for another time (C:
    /// `mod_delayed_work()`). Never sleeps.
    ///
    /// # Safety
    ///
    /// The work must be initialized.
    unsafe fn run_in(&self, delay: u32) {
        // SAFETY: By this function's safety requirements.
        unsafe {
            bindings::mod_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                bindings::system_dfl_wq,
                self.0.get(),
                msecs_to_jiffies(delay),
            )
        };
    }
}

/// Owner of the work item. The module keeps it from its initialization to its exit.
pub(crate) struct Worker(());

impl Worker {
    /// Prepares the list and the work item.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the module has already had one.
    pub(crate) fn new() -> Result<Self> {
        CLAIMED.cmpxchg(false, true, Relaxed).map_err(|_| EBUSY)?;
        // SAFETY: `CLAIMED` lets one caller come here.
        unsafe { PENDING.init() };
        // SAFETY: `WORK` is static, and nothing uses it before `READY` is set.
        unsafe { bindings::xen_rust_init_delayed_work(WORK.0.get(), Some(run)) };
        // SAFETY: As for `WORK`.
        unsafe { bindings::xen_rust_init_delayed_work(DROP_WORK.0.get(), Some(drop_ended)) };
        READY.store(true, Release);
        Ok(Self(()))
    }
}

impl Drop for Worker {
    /// Waits for a run of the work in progress. The list is empty: an entry would hold a reference
    /// to the module.
    fn drop(&mut self) {
        READY.store(false, Relaxed);
        // SAFETY: `Worker::new()` initialized the work.
        unsafe { bindings::cancel_delayed_work_sync(WORK.0.get()) };
        // SAFETY: As for `WORK`.
        unsafe { bindings::cancel_delayed_work_sync(DROP_WORK.0.get()) };
    }
}

/// Puts `deferred` on the list, to be tried again until it can be undone. See [`finish`].
fn defer(mut deferred: Entry) {
    if !READY.load(Acquire) {
        pr_err!("deferred work is not initialized: pages in use stay mapped or granted\n");
        core::mem::forget(deferred);
        return;
    }
    deferred.value.on_defer();
    let due = deferred.as_mut().link().put_off();
    let mut pending = PENDING.lock();
    if pending.first.is_none() {
        // SAFETY: The module is alive: by the requirement of `finish()`, its caller holds a
        // reference.
        unsafe { bindings::__module_get(module::this_module()) };
    }
    pending.push(deferred);
    pending.run_at(due);
}

/// Tries to finish each entry of the list that is due.
extern "C" fn run(_work: *mut bindings::work_struct) {
    let now = Instant::now();
    let mut next = {
        let mut pending = PENDING.lock();
        pending.next_run = None;
        pending.first.take()
    };
    let had_entries = next.is_some();
    let mut kept: Option<Entry> = None;
    let mut earliest: Option<Instant<Monotonic>> = None;
    while let Some(mut deferred) = next {
        next = deferred.as_mut().link().next.take();
        let waits = deferred
            .as_mut()
            .link()
            .due
            .filter(|due| is_before(now, *due));
        let due = match waits {
            Some(due) => due,
            None if deferred.as_mut().try_finish() => {
                drop(deferred);
                cond_resched();
                continue;
            }
            None => deferred.as_mut().link().put_off(),
        };
        if earliest.is_none_or(|other| is_before(due, other)) {
            earliest = Some(due);
        }
        deferred.as_mut().link().next = kept.take();
        kept = Some(deferred);
        cond_resched();
    }

    let mut pending = PENDING.lock();
    let newly_deferred = pending.first.is_some();
    while let Some(mut deferred) = kept {
        kept = deferred.as_mut().link().next.take();
        pending.push(deferred);
    }
    if let Some(earliest) = earliest {
        // Entries that are due shortly one after the other share a run.
        let soonest = Instant::now() + Delta::from_millis(DELAY_STEP.into());
        pending.run_at(if is_before(earliest, soonest) {
            soonest
        } else {
            earliest
        });
    }
    // An entry that was deferred to the empty list in the meantime took another reference.
    let references = usize::from(had_entries) + usize::from(newly_deferred);
    let needed = usize::from(pending.first.is_some());
    drop(pending);
    for _ in needed..references {
        // SAFETY: `defer()` took the reference when it found the list empty. The module stays
        // loaded until this function returns, because `Worker::drop()` waits for it.
        unsafe { bindings::module_put(module::this_module()) };
    }
}

/// Drops each entry of the second list.
extern "C" fn drop_ended(_work: *mut bindings::work_struct) {
    let mut next = PENDING.lock().ended.take();
    let had_entries = next.is_some();
    while let Some(mut ended) = next {
        next = ended.as_mut().link().next.take();
        drop(ended);
        cond_resched();
    }
    if had_entries {
        // SAFETY: `hand_over()` took the reference when it found the list empty. The module cannot
        // go away before this function returns, because `Worker::drop()` waits for it.
        unsafe { bindings::module_put(module::this_module()) };
    }
}
