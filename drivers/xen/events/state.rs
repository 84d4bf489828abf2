// SPDX-License-Identifier: GPL-2.0

//! Event words and queues of this domain. They are static, because `events_base.c` passes a port or
//! a CPU, and nothing else.

#![deny(unsafe_code)]

use crate::{
    cpu_events::CpuEvents,
    event_array::EventArray,
    xen::kernel::per_cpu::per_cpu, //
};

/// Words of all ports of this domain.
pub(crate) static EVENT_ARRAY: EventArray = EventArray::new();

per_cpu! {
    /// Events of each CPU.
    static CPUS: CpuEvents = CpuEvents::new();
}
