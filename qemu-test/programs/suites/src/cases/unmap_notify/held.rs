// SPDX-License-Identifier: GPL-2.0

//! The time to wait for no event, the byte that is cleared, and the end of a mapped region.

use std::io;
use std::time::Duration;

use guest_test::port_list::open_ports;

use xen_grants::PAGE_SIZE;

use crate::granter::Share;
use crate::world::Mapped;

/// Time in which an event that must not come would come. On a busy host it may come later, and is
/// missed; no rule fails by that.
pub(super) const SILENCE: Duration = Duration::from_millis(100);

/// Value of the byte before it is cleared.
pub(super) const ALIVE: u8 = 0xa5;

/// A byte in the second page of three.
pub(super) const BYTE: usize = PAGE_SIZE + 77;

/// Unmaps and removes a region. Returns the granter's share.
pub(super) fn end(held: Mapped) -> io::Result<Share> {
    held.mapping.unmap()?;
    held.device.remove(held.index, held.share.pages() as u32)?;
    Ok(held.share)
}

pub(super) fn is_open(port: u32) -> io::Result<bool> {
    Ok(open_ports()?.iter().any(|(open, _)| *open == port))
}
