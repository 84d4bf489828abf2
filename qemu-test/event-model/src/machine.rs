// SPDX-License-Identifier: GPL-2.0

//! A guest on the hypervisor: the upcall and the interrupt handlers, as in the kernel's
//! `events_base.c`, around the code under test.

use crate::{
    event_queue::{ControlBlock, Queues},
    event_word::{EventWord, Port, Unmask},
    hypervisor::{Domain, HypervisorWord, Memory, QueueLock},
    xen::event::locked_word::SharedWord,
};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// Reasons for masking an event: its interrupt is being moved, or its handler has not ended.
const TEMPORARILY: u32 = 1;
const HANDLED_LATER: u32 = 2;

/// A domain and its guest.
///
/// The counters are not part of the code under test, so loom need not track them.
pub struct Machine<M: Memory> {
    pub domain: Domain<M>,
    /// Queues by vCPU number.
    pub queues: Vec<Queues>,
    /// Reasons for masking, by port, with the lock that is held while an event is masked or
    /// unmasked for a reason.
    reasons: Vec<M::Lock>,
    /// True while the handler of an event that ends later runs, by port.
    active: Vec<M::Word>,
    /// Number of events that became pending, by port.
    sent: Vec<AtomicU32>,
    /// Number of events that were acknowledged, by port: by a handler, in all but one of the tests.
    delivered: Vec<AtomicU32>,
    /// Number of events that were delivered but no longer pending.
    spurious: AtomicU32,
}

fn counts(ports: usize) -> Vec<AtomicU32> {
    (0..=ports).map(|_| AtomicU32::new(0)).collect()
}

/// Returns the port of this number.
pub fn port(number: usize) -> Port {
    Port::new(number as u32).expect("a number of the test's own")
}

impl<M: Memory> Machine<M> {
    /// Makes a machine whose ports are all unmasked.
    pub fn new(vcpus: usize, ports: usize) -> Self {
        let machine = Self {
            domain: Domain::new(vcpus, ports),
            queues: (0..vcpus).map(|_| Queues::new()).collect(),
            reasons: (0..=ports).map(|_| M::Lock::default()).collect(),
            active: (0..=ports).map(|_| M::Word::default()).collect(),
            sent: counts(ports),
            delivered: counts(ports),
            spurious: AtomicU32::new(0),
        };
        for number in 1..=ports {
            assert_eq!(machine.word(number).unmask_unless_pending(), Unmask::Done);
        }
        machine
    }

    pub fn word(&self, number: usize) -> EventWord<'_, M::Word> {
        EventWord::new(&self.domain.words[number])
    }

    /// Returns the event word of a port, as the guest looks it up.
    pub fn find(&self, port: Port) -> Option<EventWord<'_, M::Word>> {
        let word = self.domain.words.get(port.number() as usize);
        word.map(EventWord::new)
    }

    /// Sends an event.
    pub fn send(&self, number: usize) {
        if self.domain.send(number) {
            self.sent[number].fetch_add(1, SeqCst);
        }
    }

    /// Unmasks an event as the guest does.
    pub fn unmask(&self, number: usize) {
        if self.word(number).unmask_unless_pending() == Unmask::LeftToHypervisor {
            self.unmask_by_hypervisor(number);
        }
    }

    /// Unmasks an event by the hypervisor, also if the guest has masked it for a reason.
    pub fn unmask_by_hypervisor(&self, number: usize) {
        let again = self.domain.unmask(number);
        self.sent[number].fetch_add(u32::from(again), SeqCst);
    }

    /// Masks an event as the guest does, for a further reason.
    fn mask_for(&self, number: usize, reason: u32) {
        let mut reasons = self.reasons[number].lock();
        if *reasons == 0 {
            self.word(number).mask();
        }
        *reasons |= reason;
    }

    /// Removes a reason, and unmasks the event if it was the last one.
    fn unmask_for(&self, number: usize, reason: u32) {
        let mut reasons = self.reasons[number].lock();
        *reasons &= !reason;
        if *reasons == 0 {
            self.unmask(number);
        }
    }

    /// Moves an interrupt to another vCPU, or to its current one.
    pub fn move_to(&self, number: usize, vcpu: usize, priority: usize) {
        self.mask_for(number, TEMPORARILY);
        self.domain.set_queue(number, vcpu, priority);
        self.unmask_for(number, TEMPORARILY);
    }

    /// Calls the handler of an interrupt that stays masked until [`Self::end_handling`]. Does
    /// nothing if the handler already runs.
    pub fn begin_handling(&self, port: Port) {
        let number = port.number() as usize;
        if self.active[number].swap(1) == 0 {
            self.mask_for(number, HANDLED_LATER);
            self.handle(port);
        }
    }

    /// Ends the active handler `number`. Returns true if there was one.
    pub fn end_handling(&self, number: usize) -> bool {
        let active = self.active[number].fetch_and(0) != 0;
        if active {
            self.unmask_for(number, HANDLED_LATER);
        }
        active
    }

    /// Calls the handler of the interrupt, which acknowledges first.
    pub fn handle(&self, port: Port) {
        let number = port.number() as usize;
        let counter = if self.domain.acknowledge(number) {
            &self.delivered[number]
        } else {
            &self.spurious
        };
        counter.fetch_add(1, SeqCst);
    }

    /// Acknowledges an event that the guest does not handle.
    pub fn acknowledge(&self, number: usize) {
        let word = self.word(number);
        self.delivered[number].fetch_add(u32::from(word.is_pending()), SeqCst);
        word.clear_pending();
    }

    /// Takes all events out of the queues of a vCPU.
    pub fn consume(&self, vcpu: usize, handle: impl FnMut(Port)) {
        self.queues[vcpu].consume(
            &ControlBlock::new(&self.domain.vcpus[vcpu].block),
            |port| self.find(port),
            handle,
        );
    }

    /// Drains the queues of a vCPU that has gone offline, as another CPU does.
    pub fn drain(&self, vcpu: usize) {
        self.consume(vcpu, |port| {
            let number = port.number() as usize;
            let (to, priority) = self.domain.queue(number);
            if to != vcpu {
                self.move_to(number, to, priority);
            }
        });
    }

    /// Handles the upcall, if the hypervisor requested one. Returns true if it did.
    pub fn upcall(&self, vcpu: usize, mut handle: impl FnMut(Port)) -> bool {
        let flag = &self.domain.vcpus[vcpu].upcall_pending;
        if flag.load() == 0 {
            return false;
        }
        loop {
            flag.store(0);
            self.consume(vcpu, &mut handle);
            M::Word::read_barrier();
            if flag.load() == 0 {
                return true;
            }
        }
    }

    /// Ends all handlers and handles all upcalls until there are none left.
    pub fn settle(&self) {
        let ended = || (1..self.active.len()).any(|number| self.end_handling(number));
        let served = || {
            (0..self.queues.len()).any(|vcpu| self.upcall(vcpu, |port| self.begin_handling(port)))
        };
        while ended() || served() {}
    }

    /// Returns the number of calls of a handler for an event that had been acknowledged.
    pub fn spurious(&self) -> u32 {
        self.spurious.load(SeqCst)
    }

    /// Checks the state after all work is done: all events were delivered, once.
    pub fn check_settled(&self) {
        for number in 1..self.domain.words.len() {
            let word = self.word(number);
            assert!(
                !word.state().linked,
                "port {number} is linked, but in no queue"
            );
            if word.state().masked {
                continue;
            }
            assert!(!word.is_pending(), "the event of port {number} is lost");
            assert_eq!(
                self.delivered[number].load(SeqCst),
                self.sent[number].load(SeqCst),
                "sent and delivered of port {number}"
            );
        }
        for queues in &self.queues {
            assert_eq!(queues.astray(), 0, "a queue led nowhere");
        }
    }
}
