// SPDX-License-Identifier: GPL-2.0

//! References to event channels.
//!
//! C header: `include/xen/events.h`.

use crate::xen::bindings;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Reference to an event channel that a program opened through `/dev/xen/evtchn`. The channel stays
/// open as long as there is a reference, even if the program closes it.
///
/// # Invariants
///
/// Holds one reference to `port`, taken with `evtchn_get()`.
pub(crate) struct EventChannel {
    port: u32,
}

impl EventChannel {
    /// Takes a reference to the event channel `port` of this domain. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such channel, if it belongs to the kernel, or if it has too many
    /// references.
    pub(crate) fn get(port: u32) -> Result<Self> {
        // SAFETY: The function takes any number.
        to_result(unsafe { bindings::evtchn_get(port) }).map_err(|_| EINVAL)?;
        // INVARIANT: The function just took the reference.
        Ok(Self { port })
    }

    /// Returns the port of the channel in this domain.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Sends an event (C: `notify_remote_via_evtchn()`). May be called from any context.
    pub(crate) fn notify(&self) {
        // SAFETY: By the type invariants, the channel is open.
        unsafe { bindings::xen_rust_notify_remote(self.port) };
    }
}

impl Drop for EventChannel {
    /// Drops the reference, and closes the channel if it was the last one. May sleep.
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this value holds a reference.
        unsafe { bindings::evtchn_put(self.port) };
    }
}
