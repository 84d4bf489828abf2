// SPDX-License-Identifier: GPL-2.0

//! Port operations of the FIFO ABI, as `events_base.c` calls them.

#![forbid(unsafe_code)]

use crate::{
    event_queue::Astray,
    event_word::Port,
    state::{
        CPUS,
        EVENT_ARRAY, //
    },
    xen::{
        event::{
            event_channel_op::{
                fill_page_reserve,
                Xen, //
            },
            evtchn_ops::{
                panic,
                relink,
                PortOps,
                Upcall, //
            },
            shared_page::WORDS_PER_PAGE,
        },
        kernel::per_cpu::PossibleCpu,
    },
};
use kernel::prelude::*;

/// Port operations of the FIFO ABI.
pub(crate) struct FifoPortOps;

impl PortOps for FifoPortOps {
    fn max_channels() -> u32 {
        Port::LIMIT
    }

    fn nr_channels() -> u32 {
        (EVENT_ARRAY.page_count() * WORDS_PER_PAGE) as u32
    }

    fn setup(port: u32) -> Result {
        EVENT_ARRAY.set_up(port, &mut Xen)
    }

    fn clear_pending(port: u32) {
        EVENT_ARRAY.clear_pending(port);
    }

    fn set_pending(port: u32) {
        EVENT_ARRAY.set_pending(port);
    }

    fn is_pending(port: u32) -> bool {
        EVENT_ARRAY.is_pending(port)
    }

    fn mask(port: u32) {
        EVENT_ARRAY.mask(port);
    }

    fn unmask(port: u32) {
        EVENT_ARRAY.unmask(port, &mut Xen);
    }

    #[inline(always)]
    fn handle_events(cpu: PossibleCpu, upcall: &mut Upcall<'_>) {
        CPUS.get(cpu).consume(
            &EVENT_ARRAY,
            |port| upcall.deliver(port.number()),
            |astray| report(PossibleCpu::current(), astray),
        );
    }

    fn resume() {
        EVENT_ARRAY.restart();
        for cpu in PossibleCpu::all() {
            let events = CPUS.get(cpu);
            events.restart();
            // Blocks of the other CPUs are registered when they come online. The array grows as
            // ports are set up.
            if cpu.is_online() {
                if let Err(error) = events.bring_up(cpu, &mut Xen) {
                    panic(c"no control block after resume", error);
                }
            }
        }
    }

    fn bring_up(cpu: PossibleCpu) -> Result {
        CPUS.get(cpu).bring_up(cpu, &mut Xen)
    }

    fn take_down(cpu: PossibleCpu) {
        // The interrupts have moved to other CPUs meanwhile, and their events must follow: the
        // hypervisor puts a pending event that is unmasked into the queue of its CPU.
        CPUS.get(cpu).drain(
            &EVENT_ARRAY,
            |port| relink(port.number()),
            |astray| report(cpu, astray),
        );
    }
}

/// Says that a queue of `cpu` has ended. Happens at most once for each queue.
fn report(cpu: PossibleCpu, astray: Astray) {
    pr_crit!(
        "CPU {}: the queue of priority {} leads to port {}, which is not in it; \
         the events of this queue are lost from now on\n",
        cpu.number(),
        astray.priority.index(),
        astray.port.map_or(0, Port::number)
    );
}

/// Switches the domain to the FIFO ABI. `cpu` is the boot CPU, and no other one runs.
///
/// # Errors
///
/// Those of [`Hypervisor::init_control`], and `ENOMEM`; nothing has changed then.
///
/// [`Hypervisor::init_control`]: crate::xen::event::hypervisor::Hypervisor::init_control
pub(crate) fn start(cpu: PossibleCpu) -> Result {
    fill_page_reserve()?;
    CPUS.get(cpu).bring_up(cpu, &mut Xen)
}
