// SPDX-License-Identifier: GPL-2.0

//! The unmapping of grants whose pages are still referenced.
//!
//! A page of a mapping can be in use when the mapping ends: it is pinned for direct I/O, in a
//! network buffer, or in the page tables of a forked process. The grant must stay mapped until
//! that is over, and the process that gave up the mapping must not wait for it. So such mappings
//! are put on a list, and a delayed work item looks at them from time to time. (The C counterpart
//! is `gnttab_unmap_refs_async()`, whose callback may still run when the module that it is in has
//! been unloaded.)
//!
//! While the list has an entry the module cannot be unloaded.

use super::{
    bindings,
    grant_mapping::MappedGrants,
    module,
    trace, //
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
    time::msecs_to_jiffies,
    types::Opaque, //
};

/// How long to wait before the first look, in milliseconds; each next look waits as much longer,
/// until another mapping comes.
const DELAY_STEP: u32 = 5;

/// The longest wait between two looks, in milliseconds.
const DELAY_MAX: u32 = 1000;

/// The mappings that wait.
struct Pending {
    /// A list through [`MappedGrants::next`].
    first: Option<Pin<KBox<MappedGrants>>>,
    /// How long the work was delayed last, in milliseconds.
    delay: u32,
}

global_lock! {
    // SAFETY: Initialized by `Worker::new()`, and not used before `READY` says so.
    unsafe(uninit) static PENDING: Mutex<Pending> = Pending { first: None, delay: 0 };
}

/// The one work item. Initialized by `Worker::new()`, and not used before `READY` says so.
static WORK: Work = Work(Opaque::zeroed());

/// Whether there has been a [`Worker`].
static CLAIMED: Atomic<bool> = Atomic::new(false);

/// Whether `PENDING` and `WORK` may be used.
static READY: Atomic<bool> = Atomic::new(false);

struct Work(Opaque<bindings::delayed_work>);

// SAFETY: The workqueue functions may be called from any thread, also at the same time.
unsafe impl Sync for Work {}

/// What looks at the list. The module keeps it from its first to its last moment.
pub(crate) struct Worker(());

impl Worker {
    /// Prepares the list and the work item.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there has been one before in this module.
    pub(crate) fn new() -> Result<Self> {
        CLAIMED.cmpxchg(false, true, Relaxed).map_err(|_| EBUSY)?;
        // SAFETY: `CLAIMED` lets one caller come here.
        unsafe { PENDING.init() };
        // SAFETY: `WORK` is static, and nothing uses it before `READY` is set.
        unsafe { bindings::xen_rust_init_delayed_work(WORK.0.get(), Some(run)) };
        READY.store(true, Release);
        Ok(Self(()))
    }
}

impl Drop for Worker {
    /// Waits for a run of the work that is under way. The list is empty: an entry would hold a
    /// reference to the module.
    fn drop(&mut self) {
        READY.store(false, Relaxed);
        // SAFETY: `Worker::new()` initialized the work.
        unsafe { bindings::cancel_delayed_work_sync(WORK.0.get()) };
    }
}

/// Takes over `grants`, to unmap them when nothing refers to their frames any more.
///
/// May sleep. Must be called while the caller still holds the module, as an open file or a VMA of
/// one does.
pub(super) fn defer(mut grants: Pin<KBox<MappedGrants>>) {
    if !READY.load(Acquire) {
        pr_err!("no worker to unmap grants in use: they stay mapped\n");
        core::mem::forget(grants);
        return;
    }
    trace::defer(grants.count());
    let mut pending = PENDING.lock();
    let rest = pending.first.take();
    if rest.is_none() {
        // SAFETY: The module is alive: by this function's requirement, something holds it.
        unsafe { bindings::__module_get(module::this_module()) };
    }
    *grants.as_mut().project().next = rest;
    pending.first = Some(grants);
    if pending.delay > DELAY_STEP {
        look_soon();
    } else {
        // Others may come without end: they do not put off what is to happen that soon anyway.
        look_in(DELAY_STEP);
    }
    pending.delay = DELAY_STEP;
}

/// Has the work run in `delay` milliseconds, unless it is to run already.
fn look_in(delay: u32) {
    // SAFETY: `WORK` is initialized, because the callers found `READY` set or run in it.
    unsafe {
        bindings::queue_delayed_work_on(
            bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
            bindings::system_dfl_wq,
            WORK.0.get(),
            msecs_to_jiffies(delay),
        )
    };
}

/// Has the work run in [`DELAY_STEP`] milliseconds, also if it was to run later.
fn look_soon() {
    // SAFETY: `WORK` is initialized, because the caller found `READY` set.
    unsafe {
        bindings::mod_delayed_work_on(
            bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
            bindings::system_dfl_wq,
            WORK.0.get(),
            msecs_to_jiffies(DELAY_STEP),
        )
    };
}

/// Looks at each mapping of the list once.
extern "C" fn run(_work: *mut bindings::work_struct) {
    let mut next = PENDING.lock().first.take();
    let had_entries = next.is_some();
    let mut kept = None;
    while let Some(mut grants) = next {
        next = grants.as_mut().project().next.take();
        if let Some(mut grants) = MappedGrants::release(grants) {
            *grants.as_mut().project().next = kept;
            kept = Some(grants);
        }
    }

    let mut pending = PENDING.lock();
    let newly_deferred = pending.first.is_some();
    while let Some(mut grants) = kept {
        kept = core::mem::replace(grants.as_mut().project().next, pending.first.take());
        pending.first = Some(grants);
    }
    if pending.first.is_some() {
        pending.delay = (pending.delay + DELAY_STEP).min(DELAY_MAX);
        look_in(pending.delay);
    }
    // Whoever deferred to the empty list meanwhile holds the module once more.
    let references = usize::from(had_entries) + usize::from(newly_deferred);
    let needed = usize::from(pending.first.is_some());
    drop(pending);
    for _ in needed..references {
        // SAFETY: `defer()` took the reference when it found the list empty. The module cannot go
        // away before this function returns, because `Worker::drop()` waits for it.
        unsafe { bindings::module_put(module::this_module()) };
    }
}
