// SPDX-License-Identifier: GPL-2.0

//! The port operations of the FIFO ABI, as `events_base.c` calls them.
//!
//! A port that has no event word is one that `setup` did not accept. Nobody calls with it, and if
//! somebody does, nothing happens.

#![forbid(unsafe_code)]

use crate::{
    event_array::EventArray,
    event_word::{
        EventWord,
        Port,
        Unmask, //
    },
    xen::{
        event_channel_op::{
            unmask,
            Xen, //
        },
        evtchn_ops::{
            panic,
            relink,
            PortOps,
            Upcall, //
        },
        per_cpu::PossibleCpu,
        shared_page::WORDS_PER_PAGE, //
    },
    CPUS,
};
use core::sync::atomic::AtomicU32;
use kernel::prelude::*;

/// What stands for the port of an interrupt that gets one later, as a physical one does.
const NO_PORT: u32 = 0;

/// The words of all ports of this domain.
pub(crate) static EVENT_ARRAY: EventArray = EventArray::new();

/// The port operations of the FIFO ABI.
pub(crate) struct FifoPortOps;

#[inline(always)]
fn word(port: u32) -> Option<EventWord<'static, AtomicU32>> {
    EVENT_ARRAY.word(Port::new(port)?)
}

impl PortOps for FifoPortOps {
    fn max_channels() -> u32 {
        Port::LIMIT
    }

    fn nr_channels() -> u32 {
        (EVENT_ARRAY.page_count() * WORDS_PER_PAGE) as u32
    }

    fn setup(port: u32) -> Result {
        if port == NO_PORT {
            return Ok(());
        }
        let result = EVENT_ARRAY.grow(Port::new(port).ok_or(EINVAL)?, &mut Xen);
        if let Err(error) = result {
            if EVENT_ARRAY.page_count() == 0 {
                // No event of any kind can come in, and there is no way back to the other ABI.
                panic(c"no page for the event array", error);
            }
            pr_err!("no page for the event word of port {port}: {error:?}\n");
        }
        result
    }

    fn clear_pending(port: u32) {
        if let Some(word) = word(port) {
            word.clear_pending();
        }
    }

    fn set_pending(port: u32) {
        if let Some(word) = word(port) {
            word.set_pending();
        }
    }

    fn is_pending(port: u32) -> bool {
        word(port).is_some_and(|word| word.is_pending())
    }

    fn mask(port: u32) {
        if let Some(word) = word(port) {
            word.mask();
        }
    }

    fn unmask(port: u32) {
        if word(port).is_some_and(|word| word.unmask_unless_pending() == Unmask::LeftToHypervisor) {
            unmask(port);
        }
    }

    #[inline(always)]
    fn handle_events(cpu: PossibleCpu, upcall: &mut Upcall<'_>) {
        CPUS.get(cpu)
            .consume(&EVENT_ARRAY, |port| upcall.deliver(port.number()));
    }

    fn resume() {
        EVENT_ARRAY.restart();
        for cpu in PossibleCpu::all() {
            let events = CPUS.get(cpu);
            events.restart();
            // Others are told of when they come online. The array grows as ports are set up.
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
        // The interrupts have moved to other CPUs meanwhile, where their events have to go: the
        // hypervisor puts a pending event that is unmasked into its CPU's queue.
        CPUS.get(cpu)
            .drain(&EVENT_ARRAY, |port| relink(port.number()));
    }
}

/// Switches the domain to the FIFO ABI. The CPU that boots is `cpu`.
///
/// # Errors
///
/// `ENOSYS` if the hypervisor lacks it, and others; nothing has changed then.
pub(crate) fn start(cpu: PossibleCpu) -> Result {
    CPUS.get(cpu).bring_up(cpu, &mut Xen)
}
