// SPDX-License-Identifier: GPL-2.0

//! The events of one CPU: its control block, and where it is in its queues.
//!
//! A CPU that goes offline keeps its control block. The hypervisor has no operation to take one
//! back, and goes on to write to it; when the CPU comes back it is still the one.

#![forbid(unsafe_code)]

use crate::{
    event_array::EventArray,
    event_queue::{
        ControlBlock,
        Priority,
        QueueState,
        Queues,
        CONTROL_BLOCK_WORDS, //
    },
    event_word::Port,
    xen::{
        event::{
            hypervisor::Hypervisor,
            shared_page::{
                PublishedPage,
                SharedWords, //
            },
        },
        kernel::per_cpu::PossibleCpu,
    },
};
use core::sync::atomic::{
    AtomicBool,
    AtomicU32,
    AtomicU64,
    Ordering::Relaxed, //
};
use kernel::prelude::*;

/// The events of one CPU.
pub(crate) struct CpuEvents {
    block: PublishedPage,
    queues: Queues,
    /// Whether the hypervisor knows the control block.
    known: AtomicBool,
    /// How many events that were to be delivered were found in the queues of the CPU when it had
    /// gone offline.
    drained: AtomicU64,
}

impl CpuEvents {
    /// Those of a CPU that was never online.
    pub(crate) const fn new() -> Self {
        Self {
            block: PublishedPage::empty(),
            queues: Queues::new(),
            known: AtomicBool::new(false),
            drained: AtomicU64::new(0),
        }
    }

    /// Sees to it that the hypervisor knows the control block of `cpu`, whose events these are.
    /// May sleep if the CPU was never online, unless interrupts are disabled. Must not be called
    /// twice at a time.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of the hypervisor.
    pub(crate) fn bring_up(&self, cpu: PossibleCpu, hypervisor: &mut impl Hypervisor) -> Result {
        if self.known.load(Relaxed) {
            return Ok(());
        }
        self.queues.restart();
        if self.block.is_empty() {
            let page = hypervisor.new_page()?;
            self.block
                .hand_over(page, |page| hypervisor.init_control(page, cpu))
                .map_err(|refused| refused.error)?;
        } else {
            self.block.hand_over_again(|page| {
                if let Some(block) = control_block(&page) {
                    block.reset();
                }
                hypervisor.init_control(page, cpu)
            })?;
        }
        self.known.store(true, Relaxed);
        Ok(())
    }

    /// Forgets that the hypervisor knows the control block, because it is another one.
    pub(crate) fn restart(&self) {
        self.known.store(false, Relaxed);
    }

    /// Whether the hypervisor knows the control block.
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Relaxed)
    }

    /// Takes all events out of the queues, and calls `deliver` with those that are to be delivered.
    /// Only the CPU whose events these are may do so, with interrupts disabled.
    #[inline(always)]
    pub(crate) fn consume(&self, array: &EventArray, deliver: impl FnMut(Port)) {
        let Some(block) = self.block.get().and_then(control_block) else {
            return;
        };
        self.queues
            .consume(&block, |port| array.word(port), deliver);
    }

    /// Takes all events out of the queues of a CPU that has gone offline, and calls `leave` with
    /// those that it should have delivered. They stay pending.
    ///
    /// No event word may stay in a queue that nobody serves. The hypervisor would not put it into
    /// another one, wherever the event is bound to then.
    pub(crate) fn drain(&self, array: &EventArray, mut leave: impl FnMut(Port)) {
        self.consume(array, |port| {
            self.drained.fetch_add(1, Relaxed);
            leave(port);
        });
    }

    /// How many events that were to be delivered the drains have found.
    pub(crate) fn drained(&self) -> u64 {
        self.drained.load(Relaxed)
    }

    /// How many heads and links named no event word.
    pub(crate) fn astray(&self) -> u64 {
        self.queues.astray()
    }

    /// Looks at the queue of one priority; none before the CPU was online.
    pub(crate) fn queue(&self, priority: Priority) -> Option<QueueState> {
        let block = self.block.get().and_then(control_block)?;
        Some(self.queues.state(&block, priority))
    }
}

/// The control block at the start of a page. There always is one.
#[inline(always)]
fn control_block(page: &SharedWords) -> Option<ControlBlock<'_, AtomicU32>> {
    page.first_chunk::<CONTROL_BLOCK_WORDS>()
        .map(ControlBlock::new)
}
