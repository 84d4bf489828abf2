// SPDX-License-Identifier: GPL-2.0

//! Tests of the control block and the queues of a CPU that comes, goes and is restored.

#![forbid(unsafe_code)]

use crate::{
    cpu_events::CpuEvents,
    event_array::EventArray,
    event_queue::Priority,
    event_word::Port,
    kunit::{
        fake_hypervisor::FakeHypervisor,
        words::{
            port,
            state,
            LINKED,
            MASKED,
            PENDING,
            WORDS, //
        }, //
    },
    xen::kernel::per_cpu::PossibleCpu, //
};
use kernel::prelude::*;

#[kunit_tests(xen_evtchn_fifo_cpu)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_was_never_online_has_no_events() {
        let (cpu, array) = (CpuEvents::new(), EventArray::new());
        let mut count = 0;
        cpu.consume(&array, |_| count += 1, |_| ());
        assert_eq!(count, 0);
        assert!(!cpu.is_known());
    }

    #[test]
    fn a_cpu_that_comes_back_keeps_its_control_block() -> Result {
        let (cpu, mut xen) = (CpuEvents::new(), FakeHypervisor::new());
        for _ in 0..3 {
            cpu.bring_up(PossibleCpu::current(), &mut xen)?;
            assert!(cpu.is_known());
        }
        assert_eq!(xen.blocks.len(), 1);
        Ok(())
    }

    #[test]
    fn a_control_block_that_is_refused_is_not_kept() -> Result {
        let (cpu, mut xen) = (CpuEvents::new(), FakeHypervisor::new());
        xen.accepts = Some(0);
        assert_eq!(cpu.bring_up(PossibleCpu::current(), &mut xen), Err(ENOSPC));
        assert!(!cpu.is_known());
        xen.refuse_none();
        cpu.bring_up(PossibleCpu::current(), &mut xen)?;
        assert!(cpu.is_known());
        assert_eq!(xen.allocated, 2);
        Ok(())
    }

    #[test]
    fn after_a_restore_the_same_control_block_is_handed_over() -> Result {
        let (cpu, mut xen) = (CpuEvents::new(), FakeHypervisor::new());
        xen.block_words.push((0, 1 << 3), GFP_KERNEL)?;
        cpu.bring_up(PossibleCpu::current(), &mut xen)?;

        cpu.restart();
        assert!(!cpu.is_known());
        let mut other = FakeHypervisor::new();
        cpu.bring_up(PossibleCpu::current(), &mut other)?;
        assert_eq!(&xen.blocks[..], &other.blocks[..]);
        assert_eq!(other.allocated, 0);

        // The ready bit that the old hypervisor had set is cleared.
        let array = EventArray::new();
        cpu.consume(&array, |_| (), |_| ());
        assert_eq!(cpu.astray(), 0);
        Ok(())
    }

    #[test]
    fn draining_takes_all_words_out_of_the_queues() -> Result {
        let (cpu, array, mut xen) = (CpuEvents::new(), EventArray::new(), FakeHypervisor::new());
        // The queue of priority 2 has ports 9 and 7. That of priority 7 has port 5, which is
        // masked, and port 3, which was acknowledged.
        let words = [
            (9, PENDING | LINKED | 7),
            (7, PENDING | LINKED),
            (5, PENDING | MASKED | LINKED | 3),
            (3, LINKED),
        ];
        let block = [(0, 1 << 2 | 1 << 7), (2 + 2, 9), (2 + 7, 5)];
        xen.block_words.extend_from_slice(&block, GFP_KERNEL)?;
        cpu.bring_up(PossibleCpu::current(), &mut xen)?;
        xen.words.extend_from_slice(&words, GFP_KERNEL)?;
        array.grow(port(1)?, &mut xen)?;

        let mut heads = [0; 16];
        for (head, priority) in heads.iter_mut().zip(Priority::all()) {
            let queue = cpu.queue(priority);
            *head = queue.map_or(0, |queue| if queue.ready { queue.head } else { 0 });
        }
        assert_eq!(heads, [0, 0, 9, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]);

        let mut left = [0; 2];
        let mut count = 0;
        let leave = |port: Port| {
            if let Some(slot) = left.get_mut(count) {
                *slot = port.number();
            }
            count += 1;
        };
        cpu.drain(&array, leave, |_| ());
        assert_eq!(count, 2);
        assert_eq!(left, [9, 7]);
        assert_eq!(cpu.drained(), 2);
        for number in 1..WORDS {
            assert!(state(&array, number).is_some_and(|state| !state.linked));
        }
        // Draining handles no event, so both stay pending.
        assert!(state(&array, 9).is_some_and(|state| state.pending));

        // The queues are empty for the CPU when it comes back.
        cpu.consume(&array, |_| count += 1, |_| ());
        assert_eq!(count, 2);
        assert_eq!(cpu.astray(), 0);
        Ok(())
    }

    #[test]
    fn a_head_that_names_no_word_ends_its_queue() -> Result {
        let (cpu, array, mut xen) = (CpuEvents::new(), EventArray::new(), FakeHypervisor::new());
        xen.words.push((4, PENDING | LINKED), GFP_KERNEL)?;
        // The head of priority 0 is a port without a page, that of priority 1 is port 0. The upper
        // half of the ready word stands for no priority.
        let block = [(0, u32::MAX << 16 | 0b111), (2, 70_000), (3, 0), (4, 4)];
        xen.block_words.extend_from_slice(&block, GFP_KERNEL)?;
        cpu.bring_up(PossibleCpu::current(), &mut xen)?;
        array.grow(port(1)?, &mut xen)?;

        let mut last = 0;
        let mut told = [(0, 0); 3];
        let mut count = 0;
        cpu.consume(
            &array,
            |port| last = port.number(),
            |astray| {
                if let Some(slot) = told.get_mut(count) {
                    *slot = (astray.priority.index(), astray.port.map_or(0, Port::number));
                }
                count += 1;
            },
        );
        assert_eq!(last, 4);
        assert_eq!(cpu.astray(), 2);
        assert_eq!(told, [(0, 70_000), (1, 0), (0, 0)]);
        Ok(())
    }
}
