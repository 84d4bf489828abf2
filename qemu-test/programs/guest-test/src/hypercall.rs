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

/// Number of the event channel hypercall.
const EVENT_CHANNEL_OPERATION: c_uint = 32;
/// Number of the operation that sets the vCPU of a port.
const BIND_VCPU: u64 = 8;
/// Number of the operation that sets the priority of a port.
const SET_PRIORITY: u64 = 13;

/// Argument of these operations.
#[repr(C)]
struct Setting {
    port: u32,
    /// Number of the vCPU, or the priority.
    value: u32,
}

/// An open file of the hypercall device.
#[derive(Debug)]
pub struct Hypercalls {
    handle: NonNull<Handle>,
}

impl Hypercalls {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        // SAFETY: A null logger asks for the library's default.
        let handle = unsafe { xencall_open(ptr::null_mut(), 0) };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { handle }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// Sets the `priority` of events on `port`, which is one of this domain: 0 is handled first, 15
    /// last.
    pub fn set_priority(&self, port: u32, priority: u32) -> io::Result<()> {
        self.set(SET_PRIORITY, port, priority)
    }

    /// Lets the hypervisor put events on `port`, which is one of this domain, into the queues of
    /// the vCPU with this number. The kernel does not know of it, and binds the port again when it
    /// moves the interrupt.
    pub fn bind_vcpu(&self, port: u32, vcpu: u32) -> io::Result<()> {
        self.set(BIND_VCPU, port, vcpu)
    }

    fn set(&self, operation: u64, port: u32, value: u32) -> io::Result<()> {
        let handle = self.handle.as_ptr();
        // SAFETY: The handle is open.
        let buffer = unsafe { xencall_alloc_buffer(handle, size_of::<Setting>()) };
        if buffer.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The buffer is new, large enough, and page-aligned.
        unsafe { buffer.cast::<Setting>().write(Setting { port, value }) };
        // SAFETY: The hypervisor reads the buffer, which is valid during the call.
        let result = unsafe { xencall2(handle, EVENT_CHANNEL_OPERATION, operation, buffer as u64) };
        let result = check(result);
        // SAFETY: The buffer is one of this handle, and nothing uses it any more.
        unsafe { xencall_free_buffer(handle, buffer) };
        result
    }
}

impl Drop for Hypercalls {
    fn drop(&mut self) {
        // SAFETY: The handle is open, and nothing uses it after this.
        unsafe { xencall_close(self.handle.as_ptr()) };
    }
}
