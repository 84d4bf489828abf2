// SPDX-License-Identifier: GPL-2.0

//! Event channels, by libxenevtchn: notifications between domains.

use std::ffi::c_int;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::ptr::NonNull;
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFlags;

use crate::error::check;
use crate::error::Error;
use crate::error::Result;
use crate::poll;
use crate::sys;
use crate::PAGE_SIZE;

/// An open event channel device, `/dev/xen/evtchn`, and the ports that were opened by it. Dropping
/// it closes them.
///
/// A port that has received an event is masked: the next event on it is reported after it is
/// unmasked.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use xen_grants::event_channel::EventChannels;
///
/// // Domain 3 offers port 17.
/// let channels = EventChannels::open()?;
/// let port = channels.connect(3, 17)?;
/// channels.notify(port)?;
/// match channels.wait(Duration::from_secs(5))? {
///     Some(received) => assert_eq!(received, port),
///     None => println!("no answer"),
/// }
/// # Ok::<(), xen_grants::Error>(())
/// ```
#[derive(Debug)]
pub struct EventChannels {
    handle: NonNull<sys::Evtchn>,
}

// SAFETY: The handle is a file descriptor and a logger that is not called; no function of the
// library changes it until it is closed.
unsafe impl Send for EventChannels {}
// SAFETY: As above. If two threads wait, one may take the event that the other was woken up for;
// the latter continues to wait.
unsafe impl Sync for EventChannels {}

/// Most events that the device hands out in one system call: a page of ports.
const MOST_TAKEN: usize = PAGE_SIZE / size_of::<u32>();

impl EventChannels {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the driver is not loaded.
    pub fn open() -> Result<Self> {
        // SAFETY: A null logger is the library's default.
        let handle = unsafe { sys::xenevtchn_open(ptr::null_mut(), 0) };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { handle }),
            None => Err(Error::last("/dev/xen/evtchn")),
        }
    }

    /// Opens a port that domain `domid` may connect to, and returns its number.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the domain has no more ports.
    pub fn offer(&self, domid: u32) -> Result<u32> {
        // SAFETY: The handle is open.
        port("xenevtchn_bind_unbound_port", unsafe {
            sys::xenevtchn_bind_unbound_port(self.handle.as_ptr(), domid)
        })
    }

    /// Opens a port that is connected to port `remote` of domain `domid`, and returns its number.
    /// The new port has an event at once.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the domain does not offer this port to this domain.
    pub fn connect(&self, domid: u32, remote: u32) -> Result<u32> {
        // SAFETY: The handle is open.
        port("xenevtchn_bind_interdomain", unsafe {
            sys::xenevtchn_bind_interdomain(self.handle.as_ptr(), domid, remote)
        })
    }

    /// Closes `port`. The other end, if it was connected, is offered again.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if the port is not this file's.
    pub fn close(&self, port: u32) -> Result<()> {
        // SAFETY: The handle is open.
        check("xenevtchn_unbind", unsafe {
            sys::xenevtchn_unbind(self.handle.as_ptr(), port)
        })
    }

    /// Sends an event to the other end of `port`.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if the port is not this file's.
    pub fn notify(&self, port: u32) -> Result<()> {
        // SAFETY: The handle is open.
        check("xenevtchn_notify", unsafe {
            sys::xenevtchn_notify(self.handle.as_ptr(), port)
        })
    }

    /// Waits for an event on any of the ports, at most for `limit`, unmasks the port and returns
    /// its number; `None` if there was no event.
    ///
    /// # Errors
    ///
    /// [`Error::LostEvents`], and those of the device.
    pub fn wait(&self, limit: Duration) -> Result<Option<u32>> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.ready(left)? {
                // SAFETY: The handle is open.
                let port = port("xenevtchn_pending", unsafe {
                    sys::xenevtchn_pending(self.handle.as_ptr())
                })?;
                // SAFETY: The handle is open, and the port belongs to it.
                check("xenevtchn_unmask", unsafe {
                    sys::xenevtchn_unmask(self.handle.as_ptr(), port)
                })?;
                return Ok(Some(port));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// Waits for events, at most for `limit`, and replaces the contents of `ports` by the ports
    /// that have one, in the order of the events; none if there was no event. The ports stay
    /// masked.
    ///
    /// The library takes one event per system call; this takes all that are pending.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait).
    pub fn take(&self, ports: &mut Vec<u32>, limit: Duration) -> Result<()> {
        ports.clear();
        if !self.ready(limit)? {
            return Ok(());
        }
        let mut bytes = [0; PAGE_SIZE];
        let read = rustix::io::read(self, &mut bytes);
        let read = read.map_err(|error| Error::new("/dev/xen/evtchn", error))?;
        let words = bytes[..read].chunks_exact(size_of::<u32>());
        ports.extend(words.map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]])));
        Ok(())
    }

    /// Unmasks ports.
    ///
    /// # Errors
    ///
    /// Those of the device.
    pub fn unmask(&self, ports: &[u32]) -> Result<()> {
        for ports in ports.chunks(MOST_TAKEN) {
            let bytes: Vec<u8> = ports.iter().flat_map(|port| port.to_ne_bytes()).collect();
            let written = rustix::io::write(self, &bytes);
            let written = written.map_err(|error| Error::new("/dev/xen/evtchn", error))?;
            if written != bytes.len() {
                let message = format!("{written} of {} bytes of ports were taken", bytes.len());
                return Err(Error::new("/dev/xen/evtchn", io::Error::other(message)));
            }
        }
        Ok(())
    }

    fn ready(&self, limit: Duration) -> Result<bool> {
        let events = poll::wait(self.as_fd(), limit)?;
        match events.contains(PollFlags::ERR) {
            true => Err(Error::LostEvents),
            false => Ok(events.contains(PollFlags::IN)),
        }
    }
}

/// The device's file, for poll(2): `POLLIN` while there are events, `POLLERR` if some were lost.
impl AsFd for EventChannels {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: The handle and the descriptor in it are open as long as `self` lives.
        unsafe { BorrowedFd::borrow_raw(sys::xenevtchn_fd(self.handle.as_ptr())) }
    }
}

impl Drop for EventChannels {
    fn drop(&mut self) {
        // SAFETY: The handle is open, and nothing uses it after this.
        unsafe { sys::xenevtchn_close(self.handle.as_ptr()) };
    }
}

fn port(call: &'static str, result: c_int) -> Result<u32> {
    u32::try_from(result).map_err(|_| Error::last(call))
}
