// SPDX-License-Identifier: GPL-2.0

//! Operations of the event channel hypercall that belong to the FIFO ABI.
//!
//! C header: `include/xen/interface/event_channel.h`.

use super::{
    evtchn_ops::panic,
    hypervisor::Hypervisor,
    page_reserve::PageReserve,
    shared_page::{
        HandedOver,
        SharedPage, //
    }, //
};
use crate::xen::{
    bindings,
    kernel::per_cpu::PossibleCpu, //
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Pages for the event array.
static RESERVE: PageReserve = PageReserve::new();

/// Fills the reserve of pages for the event array for the first time, while only one CPU runs.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn fill_page_reserve() -> Result {
    RESERVE.fill()
}

/// Fills the reserve of pages again; a work item, so that it can sleep and runs once at a time. If
/// there is no memory it is tried again when the next page is taken.
#[no_mangle]
extern "C" fn xen_rust_fill_page_reserve() {
    let _ = RESERVE.fill();
}

/// Allocates a page without waiting for any lock; [`None`] if that fails, which it may at any time.
fn page_nolock() -> Option<SharedPage> {
    // SAFETY: The function can be called under a raw spinlock, and outside of one.
    let words = NonNull::new(unsafe { bindings::xen_rust_page_nolock() })?;
    // SAFETY: The page was just allocated, and consists of zeroes.
    Some(unsafe { SharedPage::from_raw(words.cast()) })
}

/// Returns true if a test has no page be there, neither in the reserve nor elsewhere.
#[cfg(CONFIG_FAULT_INJECTION)]
fn page_fails() -> bool {
    // SAFETY: The function may be called from any context.
    unsafe { bindings::xen_rust_page_fails() }
}

/// A kernel without fault injection has no such tests.
#[cfg(not(CONFIG_FAULT_INJECTION))]
const fn page_fails() -> bool {
    false
}

/// The hypervisor that this kernel runs on.
pub(crate) struct Xen;

impl Hypervisor for Xen {
    fn new_page(&mut self) -> Result<SharedPage> {
        SharedPage::new()
    }

    fn take_page(&mut self) -> Option<SharedPage> {
        // The reserve is empty if many ports were set up before the work item could run, or if a
        // port has a number far beyond all others.
        let page = if page_fails() {
            None
        } else {
            RESERVE.take().or_else(page_nolock)
        };
        // SAFETY: Work can be scheduled from any context.
        unsafe { bindings::xen_rust_schedule_page_reserve() };
        page
    }

    fn put_page(&mut self, page: SharedPage) {
        RESERVE.put(page);
    }

    fn init_control(&mut self, page: HandedOver<'_>, cpu: PossibleCpu) -> Result {
        let block = page.as_ptr().cast_mut().cast();
        // SAFETY: The page stays allocated if this succeeds, and consists of words that may change.
        to_result(unsafe { bindings::xen_rust_init_control(block, cpu.number()) })
    }

    fn expand_array(&mut self, page: HandedOver<'_>) -> Result {
        let words = page.as_ptr().cast_mut().cast();
        // SAFETY: As above.
        to_result(unsafe { bindings::xen_rust_expand_array(words) })
    }

    fn unmask(&mut self, port: u32) {
        // SAFETY: The function takes any number.
        unsafe { bindings::xen_rust_unmask(port) };
    }

    fn stop_without_array(&mut self, error: Error) {
        panic(c"no page for the event array", error);
    }

    fn alone<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        /// Guard that unlocks when it is dropped.
        struct Locked(c_ulong);

        impl Drop for Locked {
            fn drop(&mut self) {
                // SAFETY: The lock is held as long as the value exists, and this is the result of
                // locking.
                unsafe { bindings::xen_rust_unlock_event_array(self.0) };
            }
        }

        // SAFETY: The lock is taken here only, and no code that holds it calls this function.
        let _locked = Locked(unsafe { bindings::xen_rust_lock_event_array() });
        change(self)
    }
}
