// SPDX-License-Identifier: GPL-2.0

//! Long random sequences on one CPU, compared with a model that is simple enough to be evidently
//! correct.

use crate::{
    event_word::{EventWord, Port},
    hypervisor::{HypervisorWord, Memory, QueueLock},
    machine::Machine,
    xen::event::locked_word::SharedWord,
};
use proptest::prelude::*;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::{
        atomic::{AtomicU32, Ordering::SeqCst},
        Mutex, MutexGuard,
    },
};

const VCPUS: usize = 3;
const PORTS: usize = 40;
const PRIORITIES: usize = 16;
const STEPS: usize = 1500;
const SEQUENCES: u32 = 400;

/// Memory of the host.
struct HostMemory;

impl Memory for HostMemory {
    type Word = AtomicU32;
    type Lock = Mutex<u32>;
}

impl HypervisorWord for AtomicU32 {
    fn fetch_or(&self, bits: u32) -> u32 {
        AtomicU32::fetch_or(self, bits, SeqCst)
    }

    fn fetch_and(&self, bits: u32) -> u32 {
        AtomicU32::fetch_and(self, bits, SeqCst)
    }

    fn exchange_if(&self, expected: u32, new: u32) -> Result<u32, u32> {
        AtomicU32::compare_exchange(self, expected, new, SeqCst, SeqCst)
    }
}

impl QueueLock for Mutex<u32> {
    type Guard<'a> = MutexGuard<'a, u32>;

    fn lock(&self) -> MutexGuard<'_, u32> {
        Mutex::lock(self).expect("there is one thread")
    }
}

/// Step of a sequence.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Mask(usize),
    Unmask(usize),
    Acknowledge(usize),
    Move(usize, usize, usize),
    /// A vCPU serves its queues. The handlers send these events, in order.
    Serve(usize, Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let port = || 1..=PORTS;
    prop_oneof![
        8 => port().prop_map(Step::Send),
        2 => port().prop_map(Step::Mask),
        3 => port().prop_map(Step::Unmask),
        1 => port().prop_map(Step::Acknowledge),
        1 => (port(), 0..VCPUS, 0..PRIORITIES).prop_map(|(port, vcpu, priority)|
            Step::Move(port, vcpu, priority)),
        2 => (0..VCPUS, prop::collection::vec(port(), 0..6)).prop_map(|(vcpu, sends)|
            Step::Serve(vcpu, sends)),
    ]
}

/// A channel of the model.
#[derive(Clone, Default)]
struct Channel {
    pending: bool,
    masked: bool,
    queued: bool,
    vcpu: usize,
    priority: usize,
}

/// The model: its queues are plain queues, and nothing is concurrent.
struct Model {
    channels: Vec<Channel>,
    queues: Vec<Vec<VecDeque<usize>>>,
}

impl Model {
    fn new() -> Self {
        let channel = Channel {
            priority: 7,
            ..Channel::default()
        };
        Self {
            channels: vec![channel; PORTS + 1],
            queues: vec![vec![VecDeque::new(); PRIORITIES]; VCPUS],
        }
    }

    fn send(&mut self, port: usize) {
        let channel = &mut self.channels[port];
        channel.pending = true;
        if !channel.masked && !channel.queued {
            channel.queued = true;
            self.queues[channel.vcpu][channel.priority].push_back(port);
        }
    }

    fn unmask(&mut self, port: usize) {
        let channel = &mut self.channels[port];
        // Unmasking an event that is not masked has no effect, also on an event that is stuck.
        if channel.masked {
            channel.masked = false;
            if channel.pending {
                self.send(port);
            }
        }
    }

    /// Takes the next event to be delivered.
    fn next(&mut self, vcpu: usize) -> Option<usize> {
        loop {
            let port = self.queues[vcpu].iter_mut().find_map(VecDeque::pop_front)?;
            let channel = &mut self.channels[port];
            channel.queued = false;
            if channel.pending && !channel.masked {
                channel.pending = false;
                return Some(port);
            }
        }
    }

    fn serve(&mut self, vcpu: usize, sends: &[usize]) -> Vec<usize> {
        let mut order = Vec::new();
        let mut sends = sends.iter();
        while let Some(port) = self.next(vcpu) {
            order.push(port);
            if let Some(sent) = sends.next() {
                self.send(*sent);
            }
        }
        order
    }
}

fn serve(machine: &Machine<HostMemory>, vcpu: usize, sends: &[usize]) -> Vec<usize> {
    let order = RefCell::new(Vec::new());
    let sends = RefCell::new(sends.iter());
    machine.upcall(vcpu, |port| {
        order.borrow_mut().push(port.number() as usize);
        machine.handle(port);
        if let Some(sent) = sends.borrow_mut().next() {
            machine.send(*sent);
        }
    });
    order.into_inner()
}

#[test]
fn random_sequences_agree_with_the_model() {
    let delivered = Cell::new(0);
    let config = ProptestConfig {
        cases: SEQUENCES,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in prop::collection::vec(step(), STEPS))| {
        let machine = Machine::<HostMemory>::new(VCPUS, PORTS);
        let mut model = Model::new();
        for step in &steps {
            match *step {
                Step::Send(number) => {
                    machine.send(number);
                    model.send(number);
                }
                Step::Mask(number) => {
                    machine.word(number).mask();
                    model.channels[number].masked = true;
                }
                Step::Unmask(number) => {
                    machine.unmask(number);
                    model.unmask(number);
                }
                Step::Acknowledge(number) => {
                    machine.acknowledge(number);
                    model.channels[number].pending = false;
                }
                Step::Move(number, vcpu, priority) => {
                    machine.domain.set_queue(number, vcpu, priority);
                    let channel = &mut model.channels[number];
                    (channel.vcpu, channel.priority) = (vcpu, priority);
                }
                Step::Serve(vcpu, ref sends) => {
                    let order = serve(&machine, vcpu, sends);
                    delivered.set(delivered.get() + order.len());
                    prop_assert_eq!(order, model.serve(vcpu, sends));
                }
            }
            for (number, channel) in model.channels.iter().enumerate().skip(1) {
                let word = machine.word(number);
                prop_assert_eq!(
                    (word.is_pending(), word.state().masked, word.state().linked),
                    (channel.pending, channel.masked, channel.queued),
                    "port {} after {:?}", number, step
                );
            }
        }
        for number in 1..=PORTS {
            machine.unmask(number);
        }
        machine.settle();
        machine.check_settled();
    });
    println!(
        "compared {SEQUENCES} random sequences of {STEPS} steps, {} events delivered",
        delivered.get()
    );
}

#[test]
fn unlinking_leaves_the_rest_of_the_word() {
    let shared = AtomicU32::new(u32::MAX);
    let word = EventWord::new(&shared);
    assert_eq!(word.unlink(), 0x1ffff);
    assert_eq!(SharedWord::load(&shared), 0xdffe_0000);
    assert_eq!(Port::from_link(word.unlink()), None);
}

#[test]
fn a_port_is_what_a_link_can_hold() {
    assert_eq!(Port::new(0), None);
    assert_eq!(Port::new(131_072), None);
    assert_eq!(Port::new(u32::MAX), None);
    assert_eq!(Port::new(131_071).map(Port::number), Some(131_071));
    assert_eq!(Port::from_link(0xfffe_0000), None);
    assert_eq!(Port::from_link(0xffff_ffff), Port::new(131_071));
}
