// SPDX-License-Identifier: GPL-2.0

//! Tests of the order in which events are taken out of the queues of a vCPU.

#![forbid(unsafe_code)]

use crate::{
    event_queue::{
        ControlBlock,
        Priority,
        Queues,
        CONTROL_BLOCK_WORDS, //
    },
    event_word::{
        EventWord,
        Port,
        Unmask, //
    },
    kunit::words::{
        LINKED,
        MASKED,
        PENDING, //
    }, //
};
use core::sync::atomic::{
    AtomicU32,
    Ordering::Relaxed, //
};
use kernel::prelude::*;

#[kunit_tests(xen_evtchn_fifo_queue)]
mod tests {
    use super::*;

    /// Number of event words of the [`Machine`]; ports are less than it.
    const PORTS: usize = 64;

    /// Queues of one vCPU, with the words that the hypervisor shares with them.
    struct Machine {
        block: [AtomicU32; CONTROL_BLOCK_WORDS],
        words: [AtomicU32; PORTS],
        /// Last port of each queue, which only the hypervisor knows.
        tails: [AtomicU32; 16],
        queues: Queues,
    }

    /// Priority and port of the queues of a [`Machine`] that were said to have ended.
    type Ended = KVec<(usize, u32)>;

    impl Machine {
        fn new() -> Self {
            Self {
                block: [const { AtomicU32::new(0) }; CONTROL_BLOCK_WORDS],
                words: [const { AtomicU32::new(0) }; PORTS],
                tails: [const { AtomicU32::new(0) }; 16],
                queues: Queues::new(),
            }
        }

        fn word(&self, number: u32) -> &AtomicU32 {
            &self.words[number as usize % PORTS]
        }

        /// Send of an event by the hypervisor, while no other CPU uses the words.
        fn send(&self, number: u32, priority: usize) {
            let before = self.word(number).fetch_or(PENDING, Relaxed);
            if before & (MASKED | LINKED) != 0 {
                return;
            }
            self.word(number).fetch_or(LINKED, Relaxed);
            let tail = self.tails[priority % 16].swap(number, Relaxed);
            if tail != 0 && tail != number && self.word(tail).load(Relaxed) & LINKED != 0 {
                self.word(tail).fetch_or(number, Relaxed);
            } else {
                self.block[2 + priority % 16].store(number, Relaxed);
                self.block[0].fetch_or(1 << priority, Relaxed);
            }
        }

        /// Serves the queues and returns the ports in the order of delivery. The n-th handler sends
        /// the n-th of `sends`, a port and its priority.
        fn serve(&self, sends: &[(u32, usize)]) -> Result<KVec<u32>> {
            let (order, ended) = self.serve_and_tell(sends)?;
            assert_eq!(ended.len(), 0);
            Ok(order)
        }

        /// The same, and the queues that have ended.
        fn serve_and_tell(&self, sends: &[(u32, usize)]) -> Result<(KVec<u32>, Ended)> {
            let mut order = KVec::with_capacity(PORTS, GFP_KERNEL)?;
            let mut ended = KVec::with_capacity(PORTS, GFP_KERNEL)?;
            self.queues.consume(
                &ControlBlock::new(&self.block),
                |port| self.words.get(port.number() as usize).map(EventWord::new),
                |port: Port| {
                    EventWord::new(self.word(port.number())).clear_pending();
                    if let Some((number, priority)) = sends.get(order.len()) {
                        self.send(*number, *priority);
                    }
                    // The capacity holds each port once. A port that is lost for lack of memory
                    // makes the comparison of the order fail.
                    let _ = order.push(port.number(), GFP_ATOMIC);
                },
                // The same holds here.
                |astray| {
                    let port = astray.port.map_or(0, Port::number);
                    let _ = ended.push((astray.priority.index(), port), GFP_ATOMIC);
                },
            );
            Ok((order, ended))
        }
    }

    #[test]
    fn events_come_in_the_order_in_which_they_were_sent() -> Result {
        let machine = Machine::new();
        for number in [5, 3, 9, 1] {
            machine.send(number, 7);
        }
        assert_eq!(&machine.serve(&[])?[..], &[5, 3, 9, 1]);
        assert_eq!(machine.serve(&[])?.len(), 0);
        Ok(())
    }

    #[test]
    fn events_come_by_priority() -> Result {
        let machine = Machine::new();
        for priority in 0..16 {
            machine.send(16 - priority, priority as usize);
            machine.send(32 - priority, priority as usize);
        }
        let order = machine.serve(&[])?;
        assert_eq!(order.len(), 32);
        for (index, pair) in order.chunks_exact(2).enumerate() {
            assert_eq!(pair, &[16 - index as u32, 32 - index as u32]);
        }
        Ok(())
    }

    #[test]
    fn a_more_urgent_event_is_next() -> Result {
        let machine = Machine::new();
        for number in 1..4 {
            machine.send(number, 9);
        }
        assert_eq!(
            &machine.serve(&[(10, 2), (11, 12)])?[..],
            &[1, 10, 2, 3, 11]
        );
        Ok(())
    }

    #[test]
    fn an_event_that_its_handler_sends_comes_again() -> Result {
        let machine = Machine::new();
        machine.send(1, 7);
        assert_eq!(&machine.serve(&[(1, 7), (1, 7)])?[..], &[1, 1, 1]);
        Ok(())
    }

    #[test]
    fn two_events_before_the_first_is_handled_are_one() -> Result {
        let machine = Machine::new();
        machine.send(1, 7);
        machine.send(1, 7);
        assert_eq!(&machine.serve(&[])?[..], &[1]);
        Ok(())
    }

    #[test]
    fn a_masked_event_waits() -> Result {
        let machine = Machine::new();
        let word = EventWord::new(machine.word(1));
        machine.send(1, 7);
        word.mask();
        assert_eq!(machine.serve(&[])?.len(), 0);
        assert!(word.is_pending());
        assert_eq!(word.unmask_unless_pending(), Unmask::LeftToHypervisor);
        assert!(word.state().masked);

        // The hypervisor unmasks the event and puts it into its queue.
        machine.word(1).fetch_and(!MASKED, Relaxed);
        machine.send(1, 7);
        assert_eq!(&machine.serve(&[])?[..], &[1]);
        assert_eq!(word.unmask_unless_pending(), Unmask::Done);
        Ok(())
    }

    #[test]
    fn unmasking_without_an_event_needs_no_hypervisor() {
        let machine = Machine::new();
        let word = EventWord::new(machine.word(1));
        word.mask();
        assert_eq!(word.unmask_unless_pending(), Unmask::Done);
        assert!(!word.state().masked);
    }

    #[test]
    fn an_acknowledged_event_is_not_delivered() -> Result {
        let machine = Machine::new();
        machine.send(1, 7);
        machine.send(2, 7);
        EventWord::new(machine.word(1)).clear_pending();
        assert_eq!(&machine.serve(&[])?[..], &[2]);
        Ok(())
    }

    #[test]
    fn a_link_to_a_port_without_a_word_ends_its_queue() -> Result {
        let machine = Machine::new();
        for number in [1, 2, 3] {
            machine.send(number, 7);
        }
        machine.send(4, 9);
        // The wild link takes the place of that from the first port to the second.
        machine
            .word(1)
            .store(PENDING | LINKED | (PORTS as u32 + 1), Relaxed);
        let (order, ended) = machine.serve_and_tell(&[])?;
        assert_eq!(&order[..], &[1, 4]);
        assert_eq!(&ended[..], &[(7, PORTS as u32 + 1)]);
        assert_eq!(machine.queues.astray(), 1);

        // The tail is still linked, so the hypervisor sets no head. Other queues go on.
        machine.send(5, 7);
        machine.send(6, 9);
        assert_eq!(&machine.serve(&[])?[..], &[6]);
        Ok(())
    }

    #[test]
    fn a_link_to_a_word_in_no_queue_ends_its_queue() -> Result {
        let machine = Machine::new();
        for number in [1, 2, 3] {
            machine.send(number, 7);
        }
        machine.word(1).store(PENDING | LINKED | 9, Relaxed);
        let (order, ended) = machine.serve_and_tell(&[])?;
        assert_eq!(&order[..], &[1]);
        assert_eq!(&ended[..], &[(7, 9)]);
        Ok(())
    }

    #[test]
    fn a_circle_of_links_ends_its_queue() -> Result {
        let machine = Machine::new();
        for number in [1, 2, 3] {
            machine.send(number, 7);
        }
        machine.word(2).store(PENDING | LINKED | 1, Relaxed);
        let (order, ended) = machine.serve_and_tell(&[])?;
        assert_eq!(&order[..], &[1, 2]);
        assert_eq!(&ended[..], &[(7, 1)]);
        Ok(())
    }

    #[test]
    fn the_end_of_a_queue_is_told_once() -> Result {
        let machine = Machine::new();
        for round in 0..3 {
            machine.block[2 + 5].store(PORTS as u32, Relaxed);
            machine.block[0].store(1 << 5, Relaxed);
            let (_, ended) = machine.serve_and_tell(&[])?;
            assert_eq!(ended.len(), usize::from(round == 0));
        }
        assert_eq!(machine.queues.astray(), 3);
        Ok(())
    }

    #[test]
    fn queues_can_be_looked_at() -> Result {
        let machine = Machine::new();
        machine.send(1, 3);
        machine.send(2, 3);
        let block = ControlBlock::new(&machine.block);
        let priority = Priority::all().nth(3).ok_or(EINVAL)?;
        let before = machine.queues.state(&block, priority);
        assert!(before.ready);
        assert_eq!((before.head, before.next, before.consumed), (1, 0, 0));
        machine.serve(&[])?;
        let after = machine.queues.state(&block, priority);
        assert!(!after.ready);
        assert_eq!((after.next, after.consumed), (0, 2));
        Ok(())
    }
}
