// SPDX-License-Identifier: GPL-2.0

//! Event channels of this domain to itself.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use xen_grants::event_channel::EventChannels;

use crate::call::check;

/// Event channel from this domain to itself.
#[derive(Debug)]
pub struct Loopback {
    receiver: EventChannels,
    sender: EventChannels,
    received_at: u32,
    sent_from: u32,
}

impl Loopback {
    /// Opens a channel in domain `domid`, which must be this domain.
    pub fn open(domid: u32) -> io::Result<Self> {
        // Two files, so that either end can be closed alone. A port has an event as soon as it is
        // connected; here that is the port of the sender.
        let receiver = EventChannels::open()?;
        let sender = EventChannels::open()?;
        let received_at = receiver.offer(domid)?;
        let sent_from = sender.connect(domid, received_at)?;
        Ok(Self {
            receiver,
            sender,
            received_at,
            sent_from,
        })
    }

    /// Port to send from.
    pub fn port(&self) -> u32 {
        self.sent_from
    }

    /// Closes the end that sends events.
    pub fn close_sender(self) -> Receiver {
        drop(self.sender);
        Receiver {
            channels: self.receiver,
            port: self.received_at,
        }
    }

    /// Waits for an event, at most for `limit`, and returns true if there was one.
    pub fn wait(&self, limit: Duration) -> io::Result<bool> {
        received(&self.receiver, self.received_at, limit)
    }
}

/// Receiving end of a [`Loopback`] whose sender is closed.
#[derive(Debug)]
pub struct Receiver {
    channels: EventChannels,
    port: u32,
}

impl Receiver {
    /// As [`Loopback::wait`].
    pub fn wait(&self, limit: Duration) -> io::Result<bool> {
        received(&self.channels, self.port, limit)
    }
}

fn received(channels: &EventChannels, expected: u32, limit: Duration) -> io::Result<bool> {
    match channels.wait(limit)? {
        None => Ok(false),
        Some(port) if port == expected => Ok(true),
        Some(port) => Err(io::Error::other(format!(
            "an event on port {port}, not {expected}"
        ))),
    }
}

/// `IOCTL_EVTCHN_BIND_STATIC`.
const BIND_STATIC: u32 = 0x0004_4507;

/// An open file of the event channel device, for ports that the kernel has not opened.
#[derive(Debug)]
pub struct StaticPorts {
    file: File,
}

impl StaticPorts {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).open("/dev/xen/evtchn")?;
        Ok(Self { file })
    }

    /// Has the kernel receive the events of `port` for this file. If that fails, the kernel closes
    /// the port; otherwise it stays open after the end of the file.
    pub fn bind(&self, port: u32) -> io::Result<()> {
        // SAFETY: The request reads one number.
        check(unsafe { libc::ioctl(self.file.as_raw_fd(), BIND_STATIC.into(), &raw const port) })
    }
}
