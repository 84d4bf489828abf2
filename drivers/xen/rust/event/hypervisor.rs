// SPDX-License-Identifier: GPL-2.0

//! What the FIFO event channels ask of the hypervisor.
//!
//! C header: `include/xen/interface/event_channel.h`.

use super::shared_page::{
    HandedOver,
    SharedPage, //
};
use crate::xen::kernel::per_cpu::PossibleCpu;
use kernel::prelude::*;

/// The hypervisor, or what a test puts in its place.
///
/// There is no operation that takes a page back. An error means that it does not know the page.
pub(crate) trait Hypervisor {
    /// Allocates what one of the operations is to be told about. May sleep, unless interrupts are
    /// disabled.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new_page(&mut self) -> Result<SharedPage>;

    /// Makes the start of `page` the control block of `cpu` (`EVTCHNOP_init_control`). The first
    /// call switches the domain from the 2-level ABI to this one.
    ///
    /// # Errors
    ///
    /// `ENOSYS` if the hypervisor lacks the ABI, `EINVAL` if the vCPU has a control block, and
    /// others.
    fn init_control(&mut self, page: HandedOver<'_>, cpu: PossibleCpu) -> Result;

    /// Makes `page` the next one of the event array (`EVTCHNOP_expand_array`). Events that came
    /// before it become pending in it during the call, and are put into queues when they are
    /// unmasked.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the array has all pages that it can have, and others.
    fn expand_array(&mut self, page: HandedOver<'_>) -> Result;

    /// Unmasks the event of `port`, and puts it into the queue of the vCPU that it is bound to if
    /// it is pending (`EVTCHNOP_unmask`). Nothing but a port that is not open is refused, for which
    /// there is nothing to do.
    fn unmask(&mut self, port: u32);

    /// Stops the machine, because there is no first page of the event array, by `error`. No event
    /// of any kind can come in, and there is no way back to the other ABI.
    fn stop_without_array(&mut self, error: Error);

    /// Runs `change` with interrupts disabled, while nobody else changes the event array.
    fn alone<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R;
}
