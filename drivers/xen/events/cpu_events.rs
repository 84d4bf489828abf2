// SPDX-License-Identifier: GPL-2.0

//! Events of one CPU: its control block, and its position in the queues.
//!
//! A CPU that goes offline keeps its control block: the hypervisor has no operation to unregister
//! one, and continues to write to it. The CPU uses the same block when it comes back.

#![forbid(unsafe_code)]

use crate::{
    event_array::EventArray,
    event_queue::{
        Astray,
        ControlBlock,
        Priority,
        QueueState,
        Queues,
        CONTROL_BLOCK_WORDS, //
    },
    event_word::Port,
    xen::{
        event::{
            atomic::AtomicU32,
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
    AtomicU64,
    Ordering::Relaxed, //
};
use kernel::prelude::*;

/// Events of one CPU.
pub(crate) struct CpuEvents {
    block: PublishedPage,
    queues: Queues,
    /// True if the hypervisor knows the control block.
    known: AtomicBool,
    /// Number of deliverable events in the queues of the CPU after it had gone offline.
    drained: AtomicU64,
}

impl CpuEvents {
    /// Makes the state of a CPU that was never online.
    pub(crate) const fn new() -> Self {
        Self {
            block: PublishedPage::empty(),
            queues: Queues::new(),
            known: AtomicBool::new(false),
            drained: AtomicU64::new(0),
        }
    }

    /// Makes sure that the hypervisor knows the control block of `cpu`, whose events these are. May
    /// sleep if the CPU was never online. Must not be called concurrently.
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

    /// Marks the control block as unknown to the hypervisor, which is another one.
    pub(crate) fn restart(&self) {
        self.known.store(false, Relaxed);
    }

    /// Returns true if the hypervisor knows the control block.
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Relaxed)
    }

    /// Takes all events out of the queues, and calls `deliver` with those that are deliverable, and
    /// `astray` with each queue that has ended because its head or a link was bad. Only the CPU
    /// whose events these are may call it, with interrupts disabled.
    #[inline(always)]
    pub(crate) fn consume(
        &self,
        array: &EventArray,
        deliver: impl FnMut(Port),
        astray: impl FnMut(Astray),
    ) {
        let Some(block) = self.block.get().and_then(control_block) else {
            return;
        };
        self.queues
            .consume(&block, |port| array.word(port), deliver, astray);
    }

    /// Takes all events out of the queues of a CPU that has gone offline, and calls `leave` with
    /// those that it should have delivered. They stay pending. See [`Self::consume`] for `astray`.
    ///
    /// No event word may stay in a queue that no CPU serves: the hypervisor would not put it into
    /// another one, also if the event is bound to another CPU.
    pub(crate) fn drain(
        &self,
        array: &EventArray,
        mut leave: impl FnMut(Port),
        astray: impl FnMut(Astray),
    ) {
        let count = |port| {
            self.drained.fetch_add(1, Relaxed);
            leave(port);
        };
        self.consume(array, count, astray);
    }

    /// Returns the number of deliverable events that calls of [`Self::drain`] have found.
    pub(crate) fn drained(&self) -> u64 {
        self.drained.load(Relaxed)
    }

    /// Returns the number of heads and links that led out of their queue.
    pub(crate) fn astray(&self) -> u64 {
        self.queues.astray()
    }

    /// Returns the state of the queue of one priority, or `None` if the CPU was never online.
    pub(crate) fn queue(&self, priority: Priority) -> Option<QueueState> {
        let block = self.block.get().and_then(control_block)?;
        Some(self.queues.state(&block, priority))
    }
}

/// Returns the control block at the start of a page. Every page is large enough for one.
#[inline(always)]
fn control_block(page: &SharedWords) -> Option<ControlBlock<'_, AtomicU32>> {
    page.first_chunk::<CONTROL_BLOCK_WORDS>()
        .map(ControlBlock::new)
}
