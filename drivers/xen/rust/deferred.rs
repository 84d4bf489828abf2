// SPDX-License-Identifier: GPL-2.0

//! What has ended for its owner but cannot be undone yet.
//!
//! A page of a mapping can be in use when the mapping ends: it is pinned for direct I/O, in a
//! network buffer, or in the page tables of a forked process. The grant must stay mapped until
//! that is over. And a page of this domain can be mapped by the one that it is granted to when the
//! grant is taken back: the memory must stay what it is until that has ended. The process that
//! gave up the mapping or the grant must not wait for either.
//!
//! So these are put on a list, and a delayed work item looks at them from time to time. (The C
//! counterpart of the former is `gnttab_unmap_refs_async()`, whose callback may still run when the
//! module that it is in has been unloaded.)
//!
//! While the list has an entry the module cannot be unloaded.

use super::{
    bindings,
    grant_access::Granted,
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
/// until something else comes.
const DELAY_STEP: u32 = 5;

/// The longest wait between two looks, in milliseconds.
const DELAY_MAX: u32 = 1000;

/// What cannot be undone yet.
pub(super) enum Deferred {
    /// Grants of other domains at frames that something refers to.
    Mapping(Pin<KBox<MappedGrants>>),
    /// A buffer of this domain, of which another one has pages mapped.
    Buffer(KBox<Granted>),
}

impl Deferred {
    /// Undoes it, or what can be undone of it by now and returns the rest. May sleep, allocates
    /// nothing.
    pub(super) fn finish(self) -> Option<Self> {
        match self {
            Self::Mapping(grants) => MappedGrants::release(grants).map(Self::Mapping),
            Self::Buffer(granted) => Granted::release(granted).map(Self::Buffer),
        }
    }

    /// The next entry of the list.
    fn next(&mut self) -> &mut Option<Self> {
        match self {
            Self::Mapping(grants) => grants.as_mut().project().next,
            Self::Buffer(granted) => &mut granted.next,
        }
    }

    /// The number of grants.
    fn count(&self) -> usize {
        match self {
            Self::Mapping(grants) => grants.count(),
            Self::Buffer(granted) => granted.count(),
        }
    }
}

/// What waits.
struct Pending {
    /// A list through [`Deferred::next`].
    first: Option<Deferred>,
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

/// Takes over what cannot be undone yet, to try again until it can.
///
/// May sleep, allocates nothing. Must be called while the caller still holds the module, as an open
/// file or a VMA of one does.
pub(super) fn defer(mut deferred: Deferred) {
    if !READY.load(Acquire) {
        pr_err!("no worker to undo what is in use: it stays as it is\n");
        core::mem::forget(deferred);
        return;
    }
    if let Deferred::Mapping(_) = deferred {
        trace::defer(deferred.count());
    }
    let mut pending = PENDING.lock();
    let rest = pending.first.take();
    if rest.is_none() {
        // SAFETY: The module is alive: by this function's requirement, something holds it.
        unsafe { bindings::__module_get(module::this_module()) };
    }
    *deferred.next() = rest;
    pending.first = Some(deferred);
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

/// Looks at each entry of the list once.
extern "C" fn run(_work: *mut bindings::work_struct) {
    let mut next = PENDING.lock().first.take();
    let had_entries = next.is_some();
    let mut kept = None;
    while let Some(mut deferred) = next {
        next = deferred.next().take();
        if let Some(mut rest) = deferred.finish() {
            *rest.next() = kept;
            kept = Some(rest);
        }
    }

    let mut pending = PENDING.lock();
    let newly_deferred = pending.first.is_some();
    while let Some(mut deferred) = kept {
        kept = core::mem::replace(deferred.next(), pending.first.take());
        pending.first = Some(deferred);
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
