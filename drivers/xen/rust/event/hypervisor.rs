// SPDX-License-Identifier: GPL-2.0

//! Operations of the hypervisor that the FIFO event channels use.
//!
//! C header: `include/xen/interface/event_channel.h`.

use super::shared_page::{
    HandedOver,
    SharedPage, //
};
use crate::xen::kernel::per_cpu::PossibleCpu;
use kernel::prelude::*;

/// The hypervisor, or its substitute in a test.
///
/// No operation unregisters a page. An error means that the hypervisor does not know the page.
pub(crate) trait Hypervisor {
    /// Allocates a page for one of the operations. May sleep, unless interrupts are disabled.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new_page(&mut self) -> Result<SharedPage>;

    /// Registers the start of `page` as the control block of `cpu` (`EVTCHNOP_init_control`). The
    /// first call switches the domain from the 2-level ABI to the FIFO ABI.
    ///
    /// # Errors
    ///
    /// `ENOSYS` if the hypervisor lacks the ABI, `EINVAL` if the vCPU already has a control block,
    /// and others.
    fn init_control(&mut self, page: HandedOver<'_>, cpu: PossibleCpu) -> Result;

    /// Registers `page` as the next one of the event array (`EVTCHNOP_expand_array`). Events that
    /// were sent before become pending in it during the call, and are put into queues when they are
    /// unmasked.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the array has the maximum number of pages, and others.
    fn expand_array(&mut self, page: HandedOver<'_>) -> Result;

    /// Unmasks the event of `port`, and puts it into the queue of the vCPU that it is bound to if
    /// it is pending (`EVTCHNOP_unmask`). The hypervisor refuses only a port that is not open,
    /// which needs no handling.
    fn unmask(&mut self, port: u32);

    /// Stops the machine because registering the first page of the event array failed by `error`.
    /// No event of any kind can arrive, and the domain cannot switch back to the other ABI.
    fn stop_without_array(&mut self, error: Error);

    /// Calls `change` with interrupts disabled and the array locked against other changes.
    fn alone<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R;
}
