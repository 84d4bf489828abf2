// SPDX-License-Identifier: GPL-2.0

//! Operations of the event channel hypercall that belong to the FIFO ABI.
//!
//! C header: `include/xen/interface/event_channel.h`.

use super::{
    evtchn_ops::panic,
    hypervisor::Hypervisor,
    shared_page::{
        HandedOver,
        SharedPage, //
    }, //
};
use crate::xen::{
    bindings,
    kernel::per_cpu::PossibleCpu, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// The hypervisor that this kernel runs on.
pub(crate) struct Xen;

impl Hypervisor for Xen {
    fn new_page(&mut self) -> Result<SharedPage> {
        // SAFETY: The function can be called in any context.
        if unsafe { bindings::xen_rust_may_sleep() } {
            SharedPage::new()
        } else {
            SharedPage::new_atomic()
        }
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
