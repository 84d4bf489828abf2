// SPDX-License-Identifier: GPL-2.0

//! The time to wait for no event, the byte that is cleared, and the end of a mapped region.

use std::io;
use std::time::Duration;

use xen_guest::event_channel::open_ports;

use xen_guest::PAGE_SIZE;

use crate::granter::Share;
use crate::world::Mapped;

/// Long enough for an event that should not come. A busy host makes the check weaker, never fail.
pub(super) const SILENCE: Duration = Duration::from_millis(100);

/// What the byte is before it is cleared.
pub(super) const ALIVE: u8 = 0xa5;

/// A byte in the second page of three.
pub(super) const BYTE: usize = PAGE_SIZE + 77;

/// Ends a mapping's region altogether. What is left is the granter's.
pub(super) fn end(held: Mapped) -> io::Result<Share> {
    held.mapping.unmap()?;
    held.device.remove(held.index, held.share.pages() as u32)?;
    Ok(held.share)
}

pub(super) fn is_open(port: u32) -> io::Result<bool> {
    Ok(open_ports()?.iter().any(|(open, _)| *open == port))
}
