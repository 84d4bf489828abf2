// SPDX-License-Identifier: GPL-2.0

//! Hypercalls that no other library makes, by libxencall.

use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;
use std::io;
use std::ptr;
use std::ptr::NonNull;

use crate::call::check;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[link(name = "xencall")]
extern "C" {
    fn xencall_open(logger: *mut c_void, flags: c_uint) -> *mut Handle;
    fn xencall_close(handle: *mut Handle) -> c_int;
    fn xencall2(handle: *mut Handle, number: c_uint, first: u64, second: u64) -> c_int;
    fn xencall_alloc_buffer(handle: *mut Handle, size: usize) -> *mut c_void;
    fn xencall_free_buffer(handle: *mut Handle, buffer: *mut c_void);
}

/// The domain that makes a hypercall.
pub const DOMID_SELF: u16 = 0x7ff0;

/// Number of the event channel hypercall.
const EVENT_CHANNEL_OPERATION: c_uint = 32;

/// Operations of the event channel hypercall, by their numbers.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Operation {
    BindInterdomain = 0,
    BindVirq = 1,
    Close = 3,
    Send = 4,
    AllocUnbound = 6,
    BindVcpu = 8,
    Unmask = 9,
    SetPriority = 13,
}

/// Argument of these operations; the longest has three words.
type Words = [u32; 3];

/// An open file of the hypercall device. Its operations are on ports of this domain, also on those
/// that no program and no part of the kernel has opened.
#[derive(Debug)]
pub struct Hypercalls {
    handle: NonNull<Handle>,
    /// Argument of the operations, one at a time.
    words: NonNull<Words>,
}

impl Hypercalls {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        // SAFETY: A null logger asks for the library's default.
        let handle = unsafe { xencall_open(ptr::null_mut(), 0) };
        let handle = NonNull::new(handle).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: The handle is open.
        let buffer = unsafe { xencall_alloc_buffer(handle.as_ptr(), size_of::<Words>()) };
        match NonNull::new(buffer.cast()) {
            Some(words) => Ok(Self { handle, words }),
            None => {
                let error = io::Error::last_os_error();
                // SAFETY: The handle is open, and nothing uses it after this.
                unsafe { xencall_close(handle.as_ptr()) };
                Err(error)
            }
        }
    }

    /// Sets the `priority` of events on `port`: 0 is handled first, 15 last.
    pub fn set_priority(&self, port: u32, priority: u32) -> io::Result<()> {
        self.call(Operation::SetPriority, [port, priority, 0])
            .map(drop)
    }

    /// Lets the hypervisor put events on `port` into the queues of the vCPU with this number. The
    /// kernel does not know of it, and binds the port again when it moves the interrupt.
    pub fn bind_vcpu(&self, port: u32, vcpu: u32) -> io::Result<()> {
        self.call(Operation::BindVcpu, [port, vcpu, 0]).map(drop)
    }

    /// Sends an event to the other end of `port`.
    pub fn send(&self, port: u32) -> io::Result<()> {
        self.call(Operation::Send, [port, 0, 0]).map(drop)
    }

    /// Unmasks `port`.
    pub fn unmask(&self, port: u32) -> io::Result<()> {
        self.call(Operation::Unmask, [port, 0, 0]).map(drop)
    }

    /// Closes `port`.
    pub fn close(&self, port: u32) -> io::Result<()> {
        self.call(Operation::Close, [port, 0, 0]).map(drop)
    }

    /// Opens a port that domain `domid` may connect to.
    pub fn offer(&self, domid: u16) -> io::Result<u32> {
        let domains = u32::from(DOMID_SELF) | (u32::from(domid) << 16);
        self.call(Operation::AllocUnbound, [domains, 0, 0])
            .map(|words| words[1])
    }

    /// Opens a port that is connected to port `remote` of domain `domid`.
    pub fn connect(&self, domid: u16, remote: u32) -> io::Result<u32> {
        self.call(Operation::BindInterdomain, [domid.into(), remote, 0])
            .map(|words| words[2])
    }

    /// Opens a port for the virtual interrupt `virq` of a vCPU.
    pub fn bind_virq(&self, virq: u32, vcpu: u32) -> io::Result<u32> {
        self.call(Operation::BindVirq, [virq, vcpu, 0])
            .map(|words| words[2])
    }

    /// Returns the argument as the hypervisor leaves it.
    fn call(&self, operation: Operation, words: Words) -> io::Result<Words> {
        let buffer = self.words.as_ptr();
        // SAFETY: The buffer is large enough and aligned to a page, and no other thread has it.
        unsafe { buffer.write(words) };
        // SAFETY: The handle is open, and the hypervisor reads and writes the buffer only.
        let result = unsafe {
            xencall2(
                self.handle.as_ptr(),
                EVENT_CHANNEL_OPERATION,
                operation as u64,
                buffer as u64,
            )
        };
        check(result)?;
        // SAFETY: As above; it was initialized.
        Ok(unsafe { buffer.read() })
    }
}

impl Drop for Hypercalls {
    fn drop(&mut self) {
        let handle = self.handle.as_ptr();
        // SAFETY: The buffer is one of this handle, and nothing uses it any more.
        unsafe { xencall_free_buffer(handle, self.words.as_ptr().cast()) };
        // SAFETY: The handle is open, and nothing uses it after this.
        unsafe { xencall_close(handle) };
    }
}
