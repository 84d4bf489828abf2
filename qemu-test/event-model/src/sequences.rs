// SPDX-License-Identifier: GPL-2.0

//! Long random sequences on one CPU, compared with a model that is so simple that it is right.

use crate::{
    atomic::AtomicU32,
    event_word::{EventWord, Port},
    machine::Machine,
    xen::event::locked_word::SharedWord,
};
use proptest::prelude::*;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

const VCPUS: usize = 3;
const PORTS: usize = 40;
const PRIORITIES: usize = 16;
/// Fewer of both in an interpreter, which takes seconds for a hundred steps.
const STEPS: usize = if cfg!(miri) { 100 } else { 1500 };
const SEQUENCES: u32 = if cfg!(miri) { 2 } else { 400 };

/// Step of a sequence.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Mask(usize),
    Unmask(usize),
    Acknowledge(usize),
    Move(usize, usize, usize),
    /// The domain is saved and restored.
    Resume,
    /// A vCPU serves its queues. The handlers send these events, one after the other.
    Serve(usize, Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let port = || 1..=PORTS;
    prop_oneof![
        400 => port().prop_map(Step::Send),
        100 => port().prop_map(Step::Mask),
        150 => port().prop_map(Step::Unmask),
        50 => port().prop_map(Step::Acknowledge),
        50 => (port(), 0..VCPUS, 0..PRIORITIES).prop_map(|(port, vcpu, priority)|
            Step::Move(port, vcpu, priority)),
        1 => Just(Step::Resume),
        100 => (0..VCPUS, prop::collection::vec(port(), 0..6)).prop_map(|(vcpu, sends)|
            Step::Serve(vcpu, sends)),
    ]
}

/// One channel of the model.
#[derive(Clone, Default)]
struct Channel {
    pending: bool,
    masked: bool,
    queued: bool,
    vcpu: usize,
    priority: usize,
}

/// The model: queues are queues, and nothing happens at the same time.
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
        // Unmasking what is not masked does nothing, even to an event that is stuck.
        if channel.masked {
            channel.masked = false;
            if channel.pending {
                self.send(port);
            }
        }
    }

    /// The next event to be delivered.
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

fn serve(machine: &Machine, vcpu: usize, sends: &[usize]) -> Vec<usize> {
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
        let mut machine = Machine::new(VCPUS, PORTS);
        let mut model = Model::new();
        for step in &steps {
            match *step {
                Step::Send(number) => {
                    machine.send(number);
                    model.send(number);
                }
                Step::Mask(number) => {
                    machine.mask(number);
                    model.channels[number].masked = true;
                }
                Step::Unmask(number) => {
                    machine.unmask(number);
                    model.unmask(number);
                }
                Step::Acknowledge(number) => {
                    machine.drop_event(number);
                    model.channels[number].pending = false;
                }
                Step::Move(number, vcpu, priority) => {
                    machine.domain.set_queue(number, vcpu, priority);
                    let channel = &mut model.channels[number];
                    (channel.vcpu, channel.priority) = (vcpu, priority);
                }
                Step::Resume => {
                    machine.resume();
                    model = Model::new();
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
    let place = word.unlink();
    assert_eq!(Port::from_link(place.link()), Port::new(0x1ffff));
    assert!(!place.is_tail() && !place.is_nowhere());
    assert_eq!(SharedWord::load(&shared), 0xdffe_0000);
    let place = word.unlink();
    assert_eq!(Port::from_link(place.link()), None);
    assert!(place.is_nowhere() && !place.is_tail());
    shared.fetch_or(1 << 29, std::sync::atomic::Ordering::Relaxed);
    assert!(word.unlink().is_tail());
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
