// SPDX-License-Identifier: GPL-2.0

//! The hypervisor's list of domains, through libxenctrl.
//!
//! `xl list` shows the same, but suites read the list many times, and an emulated machine takes a
//! third of a second to start xl.

use std::io;
use std::iter;

use crate::call::check;
use crate::xenctrl::xc_domain_getinfolist;
use crate::xenctrl::Interface;

/// One `xen_domctl_getdomaininfo`: the fields at the same place in all versions of Xen, and room
/// for the others. The library writes less than a third of it.
#[repr(C, align(8))]
struct Entry {
    domid: u16,
    _pad: u16,
    flags: u32,
    _others: [u64; 127],
}

/// Bits of [`Entry::flags`].
const DYING: u32 = 1 << 0;
const SHUT_DOWN: u32 = 1 << 2;

/// State of a domain in the hypervisor's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainState {
    /// Number of the domain.
    pub domid: u32,
    /// The domain was destroyed, but some of its pages are still in use.
    pub dying: bool,
    /// The domain's kernel has shut down, or crashed.
    pub shut_down: bool,
}

/// Connection to the hypervisor's list of domains. Only dom0 may open it.
pub struct DomainList {
    interface: Interface,
}

impl DomainList {
    /// Connects to the hypervisor.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            interface: Interface::open()?,
        })
    }

    /// State of domain `domid`, or `None` if there is no such domain.
    pub fn get(&self, domid: u32) -> io::Result<Option<DomainState>> {
        Ok(self.from(domid)?.filter(|state| state.domid == domid))
    }

    /// All domains, by ascending number.
    pub fn all(&self) -> io::Result<Vec<DomainState>> {
        let mut next = 0;
        iter::from_fn(|| {
            let state = self.from(next).transpose()?;
            next = state.as_ref().map_or(next, |state| state.domid + 1);
            Some(state)
        })
        .collect()
    }

    /// State of the first domain whose number is `first` or more.
    fn from(&self, first: u32) -> io::Result<Option<DomainState>> {
        let mut entry = Entry {
            domid: 0,
            _pad: 0,
            flags: 0,
            _others: [0; 127],
        };
        // SAFETY: The handle is open, and there is room for the one entry that is asked for.
        let count = unsafe {
            xc_domain_getinfolist(self.interface.as_ptr(), first, 1, (&raw mut entry).cast())
        };
        check(count)?;
        Ok((count == 1).then_some(DomainState {
            domid: entry.domid.into(),
            dying: entry.flags & DYING != 0,
            shut_down: entry.flags & SHUT_DOWN != 0,
        }))
    }
}
