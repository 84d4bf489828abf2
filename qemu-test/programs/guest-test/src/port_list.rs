// SPDX-License-Identifier: GPL-2.0

//! The open ports of this domain, as the hypervisor lists them, through libxenctrl.

use std::io;

use crate::call::check;
use crate::errno::EINVAL;
use crate::hypercall::DOMID_SELF;
use crate::xenctrl::xc_evtchn_status;
use crate::xenctrl::Interface;

/// States of a port that matter here.
const CLOSED: u32 = 0;
const VIRTUAL_IRQ: u32 = 4;

/// `struct evtchn_status`.
#[repr(C)]
struct Status {
    _domid: u16,
    _pad: u16,
    _port: u32,
    status: u32,
    _vcpu: u32,
    /// First word of a union: the number of the virtual interrupt, if the port is bound to one.
    number: u32,
    _rest: u32,
}

/// Use of an open port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Bound to this virtual interrupt.
    VirtualIrq(u32),
    /// Bound to anything else.
    Other,
}

/// Returns the open ports of this domain, by ascending number. Only dom0 may ask.
pub fn open_ports() -> io::Result<Vec<(u32, Use)>> {
    let interface = Interface::open()?;
    let mut open = Vec::new();
    for port in 0.. {
        let Some(status) = status_of(&interface, port)? else {
            break;
        };
        match status.status {
            CLOSED => (),
            VIRTUAL_IRQ => open.push((port, Use::VirtualIrq(status.number))),
            _ => open.push((port, Use::Other)),
        }
    }
    Ok(open)
}

/// State of a port; `None` behind the last one that the domain has room for.
fn status_of(interface: &Interface, port: u32) -> io::Result<Option<Status>> {
    let mut status = Status {
        _domid: DOMID_SELF,
        _pad: 0,
        _port: port,
        status: CLOSED,
        _vcpu: 0,
        number: 0,
        _rest: 0,
    };
    // SAFETY: The handle is open, and `status` has the layout that the library reads and writes.
    let result = unsafe { xc_evtchn_status(interface.as_ptr(), (&raw mut status).cast()) };
    match check(result) {
        Ok(()) => Ok(Some(status)),
        Err(error) if error.raw_os_error() == Some(EINVAL) => Ok(None),
        Err(error) => Err(error),
    }
}
