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
    /// Allocates a page for [`Self::init_control`]. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new_page(&mut self) -> Result<SharedPage>;

    /// Takes a page for [`Self::expand_array`] from a reserve; [`None`] if there is none. Never
    /// sleeps, and is called in [`Self::alone`] only.
    fn take_page(&mut self) -> Option<SharedPage>;

    /// Puts a page back that [`Self::take_page`] returned. Never sleeps, and is called in the same
    /// [`Self::alone`].
    fn put_page(&mut self, page: SharedPage);

    /// Registers the start of `page` as the control block of `cpu` (`EVTCHNOP_init_control`). The
    /// first call switches the domain from the 2-level ABI to the FIFO ABI.
    ///
    /// # Errors
    ///
    /// `ENOSYS` or `EOPNOTSUPP` if the hypervisor lacks the ABI or does not offer it to this
    /// domain, `EINVAL` if the vCPU has a control block, and others.
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
