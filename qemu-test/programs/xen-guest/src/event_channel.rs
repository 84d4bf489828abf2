// SPDX-License-Identifier: GPL-2.0

//! Event channels, through libxenevtchn.

use std::ffi::c_int;
use std::ffi::c_void;
use std::io;
use std::process::Command;
use std::ptr;
use std::ptr::NonNull;
use std::time::Duration;
use std::time::Instant;

use crate::mapping::check;
use crate::mapping::count;
use crate::PAGE_SIZE;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[link(name = "xenevtchn")]
extern "C" {
    fn xenevtchn_open(logger: *mut c_void, flags: u32) -> *mut Handle;
    fn xenevtchn_close(handle: *mut Handle) -> c_int;
    fn xenevtchn_fd(handle: *mut Handle) -> c_int;
    fn xenevtchn_bind_unbound_port(handle: *mut Handle, domid: u32) -> c_int;
    fn xenevtchn_bind_interdomain(handle: *mut Handle, domid: u32, port: u32) -> c_int;
    fn xenevtchn_notify(handle: *mut Handle, port: u32) -> c_int;
    fn xenevtchn_pending(handle: *mut Handle) -> c_int;
    fn xenevtchn_unmask(handle: *mut Handle, port: u32) -> c_int;
}

/// An open file of the event channel device. Its channels are closed with it,
/// as far as nobody else holds them.
#[derive(Debug)]
pub struct EventChannels {
    handle: NonNull<Handle>,
}

// SAFETY: The handle is a file descriptor and a logger that is never called;
// no function of the library changes it until it is closed.
unsafe impl Send for EventChannels {}
// SAFETY: As above. Only waiting from two threads could go wrong: one may take
// the event that the other was told of. Then that one waits for the next.
unsafe impl Sync for EventChannels {}

/// How many events the device hands out in one system call.
const MOST_TAKEN: usize = PAGE_SIZE / size_of::<u32>();

impl EventChannels {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        // SAFETY: A null logger asks for the library's default.
        let handle = unsafe { xenevtchn_open(ptr::null_mut(), 0) };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { handle }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// Opens a port that domain `domid` may connect to.
    pub fn offer(&self, domid: u32) -> io::Result<u32> {
        // SAFETY: The handle is open.
        port(unsafe { xenevtchn_bind_unbound_port(self.handle.as_ptr(), domid) })
    }

    /// Opens a port that is connected to `remote`, which domain `domid` offers.
    pub fn connect(&self, domid: u32, remote: u32) -> io::Result<u32> {
        // SAFETY: The handle is open.
        port(unsafe { xenevtchn_bind_interdomain(self.handle.as_ptr(), domid, remote) })
    }

    /// Sends an event to whoever is connected to `port`.
    pub fn notify(&self, port: u32) -> io::Result<()> {
        // SAFETY: The handle is open.
        check(unsafe { xenevtchn_notify(self.handle.as_ptr(), port) })
    }

    /// Waits for an event on any of the ports, `limit` at most, and takes it.
    pub fn wait(&self, limit: Duration) -> io::Result<Option<u32>> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.ready(left)? {
                // SAFETY: The handle is open.
                let port = port(unsafe { xenevtchn_pending(self.handle.as_ptr()) })?;
                // SAFETY: The handle is open, and the port its.
                check(unsafe { xenevtchn_unmask(self.handle.as_ptr(), port) })?;
                return Ok(Some(port));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// Waits for events, `limit` at most, and puts the ports of those that are
    /// there into `ports`, in the order in which they came. The ports stay
    /// masked.
    ///
    /// The library takes one event by a system call; the device gives many.
    pub fn take(&self, ports: &mut Vec<u32>, limit: Duration) -> io::Result<()> {
        ports.clear();
        if !self.ready(limit)? {
            return Ok(());
        }
        ports.resize(MOST_TAKEN, 0);
        let length = size_of_val(&ports[..]);
        // SAFETY: The vector has so many bytes, for which all values are good.
        let read = unsafe { libc::read(self.file(), ports.as_mut_ptr().cast(), length) };
        ports.truncate(count(read)? / size_of::<u32>());
        Ok(())
    }

    /// Lets events come again on `ports`.
    pub fn unmask(&self, ports: &[u32]) -> io::Result<()> {
        for ports in ports.chunks(MOST_TAKEN) {
            let length = size_of_val(ports);
            // SAFETY: The slice has so many bytes.
            let written = unsafe { libc::write(self.file(), ports.as_ptr().cast(), length) };
            let written = count(written)?;
            if written != length {
                let message = format!("{written} of {length} bytes of ports were taken");
                return Err(io::Error::other(message));
            }
        }
        Ok(())
    }

    fn ready(&self, limit: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd {
            fd: self.file(),
            events: libc::POLLIN,
            revents: 0,
        };
        let milliseconds = limit.as_millis().try_into().unwrap_or(c_int::MAX);
        // SAFETY: One entry is passed, which is ours.
        let ready = unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
        check(ready)?;
        match poll.revents {
            0 => Ok(false),
            libc::POLLIN => Ok(true),
            // The device has lost events.
            other => Err(io::Error::other(format!("poll answers {other:#x}"))),
        }
    }

    fn file(&self) -> c_int {
        // SAFETY: The handle is open.
        unsafe { xenevtchn_fd(self.handle.as_ptr()) }
    }
}

impl Drop for EventChannels {
    fn drop(&mut self) {
        // SAFETY: The handle is open and nobody has it any more.
        unsafe { xenevtchn_close(self.handle.as_ptr()) };
    }
}

fn port(result: c_int) -> io::Result<u32> {
    u32::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// An event channel from this domain to itself.
#[derive(Debug)]
pub struct Loopback {
    receiver: EventChannels,
    sender: EventChannels,
    received_at: u32,
    sent_from: u32,
}

impl Loopback {
    /// Opens a channel in domain `domid`, which is this one.
    pub fn open(domid: u32) -> io::Result<Self> {
        // Two files, so that either end can be closed alone. A port that
        // connects has an event at once; here that is the sender's.
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

    /// The port to send from.
    pub fn port(&self) -> u32 {
        self.sent_from
    }

    /// Closes the end that events are sent from, for this program's part.
    pub fn close_sender(self) -> Receiver {
        drop(self.sender);
        Receiver {
            channels: self.receiver,
            port: self.received_at,
        }
    }

    /// Waits for an event, `limit` at most; says whether there was one.
    pub fn wait(&self, limit: Duration) -> io::Result<bool> {
        received(&self.receiver, self.received_at, limit)
    }
}

/// What is left of a [`Loopback`] when its sender is closed.
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

/// What the hypervisor says of a domain's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// For events of this kind from the hypervisor.
    VirtualIrq(u32),
    /// For anything else.
    Other,
}

/// The open ports of this domain, as the toolstack's `lsevtchn` tells.
pub fn open_ports() -> io::Result<Vec<(u32, Use)>> {
    let output = Command::new("lsevtchn").output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("lsevtchn: {}", output.status)));
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads lines such as `   5: VCPU 0: Virtual IRQ 1`.
fn parse(text: &str) -> Vec<(u32, Use)> {
    text.lines()
        .filter_map(|line| {
            let (port, rest) = line.split_once(':')?;
            let number = rest
                .split_once("Virtual IRQ ")
                .and_then(|(_, number)| number.split(|c: char| !c.is_ascii_digit()).next())
                .and_then(|number| number.parse().ok());
            let usage = number.map_or(Use::Other, Use::VirtualIrq);
            Some((port.trim().parse().ok()?, usage))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_their_use_are_read() {
        let text = "   1: VCPU 0: Interdomain (Connected) - Remote Domain 0, Port 2\n\
                    \x20 17: VCPU 1: Virtual IRQ 0\n\
                    \x20 18: VCPU 0: Interdomain (Waiting connection) - Remote Domain 3\n\
                    something else\n";
        let expected = [(1, Use::Other), (17, Use::VirtualIrq(0)), (18, Use::Other)];
        assert_eq!(parse(text), expected);
    }
}
