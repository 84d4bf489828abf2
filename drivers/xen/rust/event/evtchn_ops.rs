// SPDX-License-Identifier: GPL-2.0

//! Implementation of the port operations of event channels, for `events_base.c`.
//!
//! C header: `drivers/xen/events/events_internal.h`.

use crate::xen::{
    bindings,
    kernel::per_cpu::PossibleCpu, //
};
use core::marker::PhantomData;
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*, //
};

/// Port operations (C: `struct evtchn_ops`).
///
/// Ports come from `events_base.c` unchecked. Operations on a port that [`Self::setup`] did not
/// accept must have no effect.
pub(crate) trait PortOps: 'static {
    /// Returns the limit of port numbers.
    fn max_channels() -> u32;
    /// Returns the limit of port numbers that can be used without another [`Self::setup`].
    fn nr_channels() -> u32;
    /// Prepares for events of `port`, which is masked afterwards. Also called with port 0, for an
    /// interrupt that has no port yet. Must not sleep, as the descriptor of a physical interrupt is
    /// locked by a raw spinlock. May be called concurrently.
    fn setup(port: u32) -> Result;
    /// Acknowledges the event of `port`.
    fn clear_pending(port: u32);
    /// Makes the event of `port` pending; it must be masked.
    fn set_pending(port: u32);
    /// Returns true if the event of `port` is pending.
    fn is_pending(port: u32) -> bool;
    /// Masks the event of `port`, so that it is not delivered.
    fn mask(port: u32);
    /// Unmasks the event of `port`, and has it delivered if it is pending.
    fn unmask(port: u32);
    /// Delivers all events that are pending on `cpu`, which is the current one.
    fn handle_events(cpu: PossibleCpu, upcall: &mut Upcall<'_>);
    /// Registers all state with another hypervisor, after the domain was saved and restored. Called
    /// with interrupts disabled, while all other CPUs are stopped.
    fn resume();
    /// Prepares for events on `cpu`, which is not online. May sleep.
    fn bring_up(cpu: PossibleCpu) -> Result;
    /// Handles the events that are left on `cpu` after it went offline. May sleep.
    fn take_down(cpu: PossibleCpu);
}

/// Upcall of the hypervisor that is being handled.
pub(crate) struct Upcall<'a>(
    *mut bindings::evtchn_loop_ctrl,
    PhantomData<&'a mut bindings::evtchn_loop_ctrl>,
);

impl Upcall<'_> {
    /// Calls the handler of the interrupt that `port` is bound to, if there is one.
    #[inline(always)]
    pub(crate) fn deliver(&mut self, port: u32) {
        // SAFETY: The function takes any port. The pointer is that of the upcall being handled.
        unsafe { bindings::handle_irq_for_port(port, self.0) };
    }
}

/// Has the hypervisor put the event of `port`, if it is pending and not masked, into the queue of
/// the CPU that its interrupt is bound to. Does nothing if there is no such interrupt, or if its
/// CPU is not online. Takes the lock of the interrupt descriptor.
pub(crate) fn relink(port: u32) {
    // SAFETY: The function takes any port.
    unsafe { bindings::xen_rust_relink(port) };
}

/// Makes `T` the implementation that `events_base.c` calls.
pub(crate) fn install<T: PortOps>() {
    // SAFETY: Called at boot, before the first read of the variable.
    unsafe { bindings::evtchn_ops = &Table::<T>::OPS };
}

/// Makes the C implementation the one that `events_base.c` calls.
///
/// # Errors
///
/// Those of `EVTCHNOP_init_control`; `ENOMEM`.
pub(crate) fn install_c() -> Result {
    // SAFETY: Called at boot, as the function requires.
    to_result(unsafe { bindings::xen_evtchn_fifo_c_init() })
}

/// Returns true if an implementation is installed, which is not the case outside of Xen. May be
/// called only after the kernel has set up its interrupts.
pub(crate) fn is_any_installed() -> bool {
    // SAFETY: The variable changes only while interrupts are set up.
    unsafe { !bindings::evtchn_ops.is_null() }
}

/// Stops the machine, which cannot continue without events. Never returns.
pub(crate) fn panic(what: &CStr, error: Error) -> ! {
    let format = c"xen: %s (%d)\n".as_char_ptr();
    // SAFETY: The arguments are of the types that the format names.
    unsafe { kernel::bindings::panic(format, what.as_char_ptr(), error.to_errno()) }
}

/// Defines the function that `xen_init_IRQ()` calls to choose the FIFO ABI. If it fails, the
/// 2-level ABI is used.
macro_rules! fifo_init {
    ($init:path) => {
        #[allow(unsafe_code)]
        #[link_section = ".init.text"]
        #[no_mangle]
        extern "C" fn xen_evtchn_fifo_init() -> ::kernel::ffi::c_int {
            ::kernel::error::from_result(|| $init().map(|()| 0))
        }
    };
}
pub(crate) use fifo_init;

struct Table<T>(PhantomData<T>);

impl<T: PortOps> Table<T> {
    const OPS: bindings::evtchn_ops = bindings::evtchn_ops {
        max_channels: Some(max_channels::<T>),
        nr_channels: Some(nr_channels::<T>),
        setup: Some(setup::<T>),
        // A port has no state that would have to be freed.
        remove: None,
        bind_to_cpu: Some(bind_to_cpu),
        clear_pending: Some(clear_pending::<T>),
        set_pending: Some(set_pending::<T>),
        is_pending: Some(is_pending::<T>),
        mask: Some(mask::<T>),
        unmask: Some(unmask::<T>),
        handle_events: Some(handle_events::<T>),
        resume: Some(resume::<T>),
        percpu_init: Some(percpu_init::<T>),
        percpu_deinit: Some(percpu_deinit::<T>),
    };
}

extern "C" fn max_channels<T: PortOps>() -> c_uint {
    T::max_channels()
}

extern "C" fn nr_channels<T: PortOps>() -> c_uint {
    T::nr_channels()
}

extern "C" fn setup<T: PortOps>(port: bindings::evtchn_port_t) -> c_int {
    from_result(|| T::setup(port).map(|()| 0))
}

/// Does nothing: the hypervisor keeps the binding.
extern "C" fn bind_to_cpu(_port: bindings::evtchn_port_t, _cpu: c_uint, _old: c_uint) {}

/// Defines a function of the table that is called with a port.
macro_rules! on_port {
    ($name:ident $(-> $returned:ty)?) => {
        extern "C" fn $name<T: PortOps>(port: bindings::evtchn_port_t) $(-> $returned)? {
            T::$name(port)
        }
    };
}

on_port!(clear_pending);
on_port!(set_pending);
on_port!(is_pending -> bool);
on_port!(mask);
on_port!(unmask);

/// # Safety
///
/// Must be called on the CPU of this number, with interrupts disabled, and with a valid `ctrl`.
unsafe extern "C" fn handle_events<T: PortOps>(cpu: c_uint, ctrl: *mut bindings::evtchn_loop_ctrl) {
    // SAFETY: A running CPU is a possible one.
    let cpu = unsafe { PossibleCpu::new_unchecked(cpu) };
    T::handle_events(cpu, &mut Upcall(ctrl, PhantomData));
}

extern "C" fn resume<T: PortOps>() {
    T::resume();
}

/// # Safety
///
/// `cpu` must be a possible one.
unsafe extern "C" fn percpu_init<T: PortOps>(cpu: c_uint) -> c_int {
    // SAFETY: By this function's safety requirements.
    let cpu = unsafe { PossibleCpu::new_unchecked(cpu) };
    from_result(|| T::bring_up(cpu).map(|()| 0))
}

/// # Safety
///
/// `cpu` must be a possible one.
unsafe extern "C" fn percpu_deinit<T: PortOps>(cpu: c_uint) -> c_int {
    // SAFETY: By this function's safety requirements.
    T::take_down(unsafe { PossibleCpu::new_unchecked(cpu) });
    0
}
