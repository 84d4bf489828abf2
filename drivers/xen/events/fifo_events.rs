// SPDX-License-Identifier: GPL-2.0

//! Event channels by the FIFO ABI, which deliver every interrupt of a domain.
//!
//! ```text
//!   Xen, another domain         shared memory                    this crate
//!
//!   sends an event    --->  event word of the port         EventArray, EventWord
//!     not masked      --->  linked at a queue's tail
//!     queue was empty --->  control block: head, ready     CpuEvents, ControlBlock
//!     upcall          --->                                 handle_events: Queues
//!                                                            handle_irq_for_port()
//! ```
//!
//! `event_word.rs` and `event_queue.rs` are the state machine. They depend neither on the kernel
//! nor on the location of the words, and are model-checked on the host. `event_array.rs`,
//! `array_ops.rs` and `cpu_events.rs` manage the memory, through an interface of the hypervisor
//! that tests can implement. `state.rs` has the words and queues of this domain, and `port_ops.rs`
//! connects them to `events_base.c`.
//!
//! C header: `drivers/xen/events/events_internal.h`.
//!
//! # Locks
//!
//! Each CPU takes events out of its own queues only. Pages are added to the array under a lock of
//! its own, the innermost one. It is a raw spinlock, because some ports are set up with the raw
//! lock of an interrupt descriptor held. Under it nothing is freed or waits for the page allocator:
//! the pages come from a reserve, which a work item fills. Lookups of event words take no lock: a
//! published page is never freed. CPUs go online and offline one at a time.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
#[path = "../rust/built_in.rs"]
mod xen;

mod array_ops;
mod cpu_events;
mod event_array;
mod event_queue;
mod event_word;
mod port_ops;
mod refusal;
mod state;
mod view;

use crate::{
    port_ops::FifoPortOps,
    refusal::Refusal,
    view::View,
    xen::{
        event::evtchn_ops::{
            fifo_init,
            install,
            install_c,
            is_any_installed, //
        },
        kernel::{
            boot_param::bool_boot_param,
            per_cpu::PossibleCpu, //
        },
    },
};
use core::sync::atomic::Ordering::Relaxed;
use kernel::{
    debugfs,
    prelude::*, //
};

module! {
    type: FifoEvents,
    name: "xen_evtchn_fifo_rust",
    authors: ["The Rust gntdev maintainers"],
    description: "Xen event channels (FIFO-based ABI)",
    license: "GPL",
}

bool_boot_param! {
    /// True if these port operations are used rather than those in C.
    "xen.fifo_events_rust", static USE_RUST = true;
}

fifo_init!(choose_implementation);

/// Called by `xen_init_IRQ()` unless `xen.fifo_events=0` was given.
fn choose_implementation() -> Result {
    if !USE_RUST.load(Relaxed) {
        install_c().inspect_err(explain)?;
        view::runs(view::Implementation::C);
        return Ok(());
    }
    port_ops::start(PossibleCpu::current()).inspect_err(explain)?;
    pr_info!("Using FIFO-based ABI, with the port operations in Rust\n");
    install::<FifoPortOps>();
    view::runs(view::Implementation::Rust);
    Ok(())
}

/// Says why the 2-level ABI is going to be used, unless the hypervisor lacks the other one.
fn explain(error: &Error) {
    match Refusal::from(*error) {
        Refusal::NotOffered => {}
        Refusal::InUse => pr_warn!(
            "the hypervisor still uses the FIFO ABI of the kernel before this one ({error:?}), so \
             events cannot be received. kexec needs a soft reset of the domain, which the first \
             kernel requests (SHUTDOWN_soft_reset) and the toolstack executes; otherwise restart \
             the domain, or boot the first kernel with xen.fifo_events=0\n"
        ),
        Refusal::Other => pr_warn!("the FIFO ABI cannot be used: {error:?}\n"),
    }
}

/// Parts other than the port operations, which are set up once the kernel has file systems.
#[pin_data]
struct FifoEvents {
    #[pin]
    _view: debugfs::File<View>,
    _folder: debugfs::Dir,
}

impl kernel::InPlaceModule for FifoEvents {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let folder = if is_any_installed() {
            Ok(debugfs::Dir::new(c"xen"))
        } else {
            Err(ENODEV)
        };
        try_pin_init!(Self {
            _folder: folder.clone()?,
            _view <- folder?.read_callback_file(c"evtchn_fifo", View, &view::write),
        }? Error)
    }
}
