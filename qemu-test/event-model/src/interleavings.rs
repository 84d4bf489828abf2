// SPDX-License-Identifier: GPL-2.0

//! All interleavings of the CPUs of a machine on the same event words, explored by loom.
//!
//! Loom repeats a test with each order of the threads' steps, and lets reads return all values that
//! the memory model allows. A test prints the number of runs.

use crate::{
    event_word::Port,
    hypervisor::{HypervisorWord, Memory, QueueLock, BUSY, LINKED, MASKED},
    machine::{port, Machine},
    xen::event::locked_word::SharedWord,
};
use loom::{
    sync::{
        atomic::{
            fence, AtomicU32,
            Ordering::{self, AcqRel, Acquire, Relaxed},
        },
        Mutex, MutexGuard,
    },
    thread,
};
use std::{
    marker::PhantomData,
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{
        atomic::{AtomicU64, Ordering::SeqCst},
        Arc, Mutex as StdMutex,
    },
};

/// Maximum number of preemptions of threads that could continue. Faults that need more are not
/// found; those of this kind need one or two.
const PREEMPTIONS: usize = 3;

/// Intentional fault of the guest's code.
pub trait Fault: Send + Sync + 'static {
    /// True if a compare-and-exchange of the guest is a read followed by a write.
    const TORN_EXCHANGE: bool = false;
    /// Memory order of the swap of the ready word.
    const SWAP: Ordering = AcqRel;
}

/// No fault.
struct Correct;

impl Fault for Correct {}

/// Word whose accesses loom tracks.
pub struct LoomWord<F>(AtomicU32, PhantomData<F>);

impl<F: Fault> Default for LoomWord<F> {
    fn default() -> Self {
        Self(AtomicU32::new(0), PhantomData)
    }
}

impl<F: Fault> SharedWord for LoomWord<F> {
    fn load(&self) -> u32 {
        self.0.load(Relaxed)
    }

    fn store(&self, value: u32) {
        self.0.store(value, Relaxed);
    }

    fn set_bits(&self, bits: u32) {
        self.0.fetch_or(bits, AcqRel);
    }

    fn clear_bits(&self, bits: u32) {
        self.0.fetch_and(!bits, AcqRel);
    }

    fn swap(&self, value: u32) -> u32 {
        self.0.swap(value, F::SWAP)
    }

    fn compare_exchange(&self, expected: u32, new: u32) -> Result<(), u32> {
        if F::TORN_EXCHANGE {
            let seen = self.0.load(Acquire);
            if seen != expected {
                return Err(seen);
            }
            self.0.store(new, Ordering::Release);
            return Ok(());
        }
        self.exchange_if(expected, new).map(drop)
    }

    fn read_barrier() {
        if !matches!(F::SWAP, Relaxed) {
            fence(Acquire);
        }
    }

    fn relax() {
        thread::yield_now();
    }
}

impl<F: Fault> HypervisorWord for LoomWord<F> {
    fn fetch_or(&self, bits: u32) -> u32 {
        self.0.fetch_or(bits, AcqRel)
    }

    fn fetch_and(&self, bits: u32) -> u32 {
        self.0.fetch_and(bits, AcqRel)
    }

    fn exchange_if(&self, expected: u32, new: u32) -> Result<u32, u32> {
        self.0.compare_exchange(expected, new, AcqRel, Relaxed)
    }
}

/// Lock that loom tracks.
pub struct LoomLock(Mutex<u32>);

impl Default for LoomLock {
    fn default() -> Self {
        Self(Mutex::new(0))
    }
}

impl QueueLock for LoomLock {
    type Guard<'a> = MutexGuard<'a, u32>;

    fn lock(&self) -> MutexGuard<'_, u32> {
        self.0.lock().expect("no thread of a test panics")
    }
}

/// Memory that loom tracks, with a guest that has a fault.
struct LoomMemory<F>(PhantomData<F>);

impl<F: Fault> Memory for LoomMemory<F> {
    type Word = LoomWord<F>;
    type Lock = LoomLock;
}

type Guest<F> = Arc<Machine<LoomMemory<F>>>;

/// Work of one CPU.
type Work<F> = Box<dyn FnOnce(Guest<F>) + Send>;

/// Test: the initial state of the machine, and the work of its CPUs.
struct Scenario<F: Fault> {
    vcpus: usize,
    ports: usize,
    prepare: fn(&Machine<LoomMemory<F>>),
    work: fn() -> Vec<Work<F>>,
    /// True if a handler may be called for an event that was acknowledged, because two CPUs see the
    /// same one. The kernel has a flag for each interrupt, by which all but one of them return.
    spurious: bool,
}

impl<F: Fault> Default for Scenario<F> {
    fn default() -> Self {
        Self {
            vcpus: 1,
            ports: 1,
            prepare: |_| {},
            work: Vec::new,
            spurious: false,
        }
    }
}

/// Has loom explore a scenario; returns the number of interleavings until all were seen or a fault
/// was found, and true if there was none.
fn explore<F: Fault>(scenario: Scenario<F>) -> (u64, bool) {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    let right = catch_unwind(AssertUnwindSafe(move || {
        builder.check(move || {
            counter.fetch_add(1, SeqCst);
            let machine = Arc::new(Machine::new(scenario.vcpus, scenario.ports));
            (scenario.prepare)(&machine);
            let threads: Vec<_> = (scenario.work)()
                .into_iter()
                .map(|work| {
                    let machine = Arc::clone(&machine);
                    thread::spawn(move || work(machine))
                })
                .collect();
            for thread in threads {
                thread.join().expect("no thread of a test panics");
            }
            machine.settle();
            machine.check_settled();
            assert!(scenario.spurious || machine.spurious() == 0);
        });
    }));
    (count.load(SeqCst), right.is_ok())
}

/// Expects that all interleavings are correct.
fn holds(name: &str, scenario: Scenario<Correct>) {
    let (count, right) = explore(scenario);
    assert!(right, "{name}: interleaving {count} is wrong");
    println!("explored {count} interleavings of {name}");
}

/// Expects that loom finds the fault.
fn is_found<F: Fault>(name: &str, scenario: Scenario<F>) {
    let (count, right) = explore(scenario);
    assert!(!right, "{name}: not found in {count} interleavings");
    println!("found in interleaving {count}: {name}");
}

fn work<F: Fault>(work: impl FnOnce(Guest<F>) + Send + 'static) -> Work<F> {
    Box::new(work)
}

/// Work of a CPU that serves its queues twice.
fn consumer<F: Fault>(vcpu: usize) -> Work<F> {
    work(move |machine: Guest<F>| {
        for _ in 0..2 {
            machine.upcall(vcpu, |port| machine.handle(port));
        }
    })
}

/// Work of a sender of events of these ports, in order.
fn sender<F: Fault>(ports: &'static [usize]) -> Work<F> {
    work(move |machine: Guest<F>| {
        for port in ports {
            machine.send(*port);
        }
    })
}

fn one_port_sent_twice<F: Fault>() -> Scenario<F> {
    Scenario {
        work: || vec![consumer(0), sender(&[1, 1])],
        ..Scenario::default()
    }
}

fn tail_unlinked_while_linked_to<F: Fault>() -> Scenario<F> {
    Scenario {
        ports: 2,
        prepare: |machine| machine.send(1),
        work: || vec![consumer(0), sender(&[2, 1])],
        ..Scenario::default()
    }
}

#[test]
fn one_port_is_sent_twice() {
    holds("one port, sent twice", one_port_sent_twice());
}

#[test]
fn a_tail_is_unlinked_while_it_is_linked_to() {
    holds(
        "a tail that is unlinked while it is linked to",
        tail_unlinked_while_linked_to(),
    );
}

#[test]
fn two_cpus_send_to_one_queue() {
    holds(
        "two CPUs that send to one queue",
        Scenario {
            ports: 2,
            work: || vec![consumer(0), sender(&[1]), sender(&[2])],
            ..Scenario::default()
        },
    );
}

#[test]
fn two_priorities() {
    holds(
        "two priorities, sent while served",
        Scenario {
            ports: 3,
            prepare: |machine| {
                machine.domain.set_queue(1, 0, 9);
                machine.domain.set_queue(2, 0, 3);
                machine.domain.set_queue(3, 0, 9);
                machine.send(1);
            },
            work: || {
                vec![
                    // Events that were sent before the first look are served by priority.
                    work(|machine: Guest<Correct>| {
                        machine.send(2);
                        let order = StdMutex::new(Vec::<Port>::new());
                        machine.upcall(0, |port| {
                            order.lock().expect("nobody panics").push(port);
                            machine.handle(port);
                        });
                        let order = order.into_inner().expect("nobody panics");
                        let at = |number| order.iter().position(|port| port.number() == number);
                        assert!(at(2) < at(1), "{order:?}");
                    }),
                    sender(&[3]),
                ]
            },
            ..Scenario::default()
        },
    );
}

#[test]
fn masked_and_unmasked_while_sent() {
    holds(
        "an unmasking that races with an event",
        Scenario {
            vcpus: 1,
            work: || {
                vec![
                    consumer(0),
                    work(|machine: Guest<Correct>| {
                        machine.word(1).mask();
                        machine.unmask(1);
                    }),
                    sender(&[1]),
                ]
            },
            // A handler runs on one CPU, while the hypervisor links the event again for the other.
            spurious: true,
            ..Scenario::default()
        },
    );
}

#[test]
fn a_tail_is_unmasked_while_it_is_linked_to() {
    holds(
        "a tail that is unmasked while it is linked to",
        Scenario {
            ports: 2,
            prepare: |machine| {
                machine.send(1);
                machine.word(1).mask();
                machine.handle(port(1));
            },
            work: || {
                vec![
                    consumer(0),
                    work(|machine: Guest<Correct>| machine.unmask(1)),
                    sender(&[2]),
                ]
            },
            ..Scenario::default()
        },
    );
}

#[test]
fn a_port_moves_to_another_vcpu() {
    holds(
        "a port that moves to another vCPU and priority",
        Scenario {
            vcpus: 2,
            prepare: |machine| machine.send(1),
            work: || {
                vec![
                    consumer(0),
                    consumer(1),
                    work(|machine: Guest<Correct>| {
                        machine.domain.set_queue(1, 1, 2);
                        machine.send(1);
                    }),
                ]
            },
            spurious: true,
            ..Scenario::default()
        },
    );
}

#[test]
fn a_tail_moves_to_another_queue() {
    holds(
        "a tail that moves to another queue, and its old queue",
        Scenario {
            ports: 2,
            prepare: |machine| machine.send(1),
            work: || {
                vec![
                    consumer(0),
                    work(|machine: Guest<Correct>| {
                        machine.domain.set_queue(1, 0, 2);
                        machine.send(1);
                        machine.send(2);
                    }),
                ]
            },
            ..Scenario::default()
        },
    );
}

#[test]
fn a_cpu_goes_offline() {
    holds(
        "a vCPU that goes offline with an event in its queue",
        Scenario {
            vcpus: 2,
            ports: 2,
            prepare: |machine| {
                machine.domain.set_queue(2, 1, 7);
                machine.send(1);
            },
            work: || {
                vec![
                    // Moves the interrupt and then drains the queues, as the kernel does.
                    work(|machine: Guest<Correct>| {
                        machine.move_to(1, 1, 7);
                        machine.drain(0);
                    }),
                    consumer(1),
                    sender(&[1]),
                ]
            },
            spurious: true,
        },
    );
}

/// Scenario: a vCPU has gone offline with an event in its queue, whose interrupt has moved to
/// another vCPU. There the handler ends later, and until then the event stays masked.
fn drained_while_handled(work: fn() -> Vec<Work<Correct>>) -> Scenario<Correct> {
    Scenario {
        vcpus: 2,
        prepare: |machine| {
            machine.send(1);
            machine.move_to(1, 1, 7);
        },
        work,
        spurious: true,
        ..Scenario::default()
    }
}

/// Work of a CPU that serves its queues twice, with handlers that end later.
fn late_consumer(vcpu: usize) -> Work<Correct> {
    work(move |machine: Guest<Correct>| {
        for _ in 0..2 {
            machine.upcall(vcpu, |port| machine.begin_handling(port));
        }
        machine.end_handling(1);
    })
}

#[test]
fn an_event_is_handled_while_its_old_queue_is_drained() {
    holds(
        "an event that is handled while its old queue is drained",
        drained_while_handled(|| {
            vec![
                work(|machine: Guest<Correct>| machine.drain(0)),
                late_consumer(1),
                sender(&[1, 1]),
            ]
        }),
    );
}

#[test]
fn a_drain_that_unmasks_what_others_masked_is_found() {
    is_found(
        "a drain that unmasks what others have masked",
        drained_while_handled(|| {
            vec![
                work(|machine: Guest<Correct>| {
                    machine.consume(0, |port| {
                        machine.unmask_by_hypervisor(port.number() as usize)
                    });
                }),
                late_consumer(1),
                sender(&[1, 1]),
            ]
        }),
    );
}

#[test]
fn a_drain_that_leaves_events_is_found() {
    is_found(
        "a drain that does not put events into another queue",
        Scenario::<Correct> {
            vcpus: 2,
            prepare: |machine| {
                machine.send(1);
                machine.domain.set_queue(1, 1, 7);
            },
            work: || {
                vec![work(|machine: Guest<Correct>| {
                    machine.consume(0, |_| {});
                })]
            },
            ..Scenario::default()
        },
    );
}

/// The link is read, and `LINKED` cleared in another step: an event that is linked in between is
/// lost.
struct TornUnlink;

impl Fault for TornUnlink {
    const TORN_EXCHANGE: bool = true;
}

#[test]
fn an_unlinking_in_two_steps_is_found() {
    is_found(
        "a guest that unlinks in two steps",
        tail_unlinked_while_linked_to::<TornUnlink>(),
    );
}

/// The ready bits are taken without ordering, and there is no barrier before the heads. One of the
/// two would be enough.
struct Unordered;

impl Fault for Unordered {
    const SWAP: Ordering = Relaxed;
}

#[test]
fn a_head_read_too_early_is_found() {
    is_found(
        "a guest that reads a head without a barrier",
        one_port_sent_twice::<Unordered>(),
    );
}

#[test]
fn an_unmasking_that_ignores_pending_is_found() {
    is_found(
        "a guest that unmasks a pending event by itself",
        Scenario {
            work: || {
                vec![
                    consumer(0),
                    work(|machine: Guest<Correct>| {
                        machine.word(1).mask();
                        machine.domain.words[1].clear_bits(MASKED);
                    }),
                    sender(&[1]),
                ]
            },
            spurious: true,
            ..Scenario::default()
        },
    );
}

/// Scenario: the hypervisor has marked a word busy, while the guest works on it.
fn busy_word(work: fn() -> Vec<Work<Correct>>) -> Scenario<Correct> {
    Scenario {
        prepare: |machine| machine.domain.words[1].store(MASKED | LINKED | BUSY),
        work,
        ..Scenario::default()
    }
}

/// Work of the hypervisor on a word that it has marked busy. It makes a few attempts only, and
/// relies on the guest not to change the word more often meanwhile: not to unmask it at all.
fn end_of_busy() -> Work<Correct> {
    work(|machine: Guest<Correct>| {
        let word = &machine.domain.words[1];
        let marked = MASKED | LINKED | BUSY;
        word.exchange_if(marked, MASKED)
            .expect("the guest leaves a busy word masked");
    })
}

#[test]
fn a_busy_word_is_unmasked_later() {
    holds(
        "an unmasking that waits for the hypervisor",
        busy_word(|| {
            vec![
                work(|machine: Guest<Correct>| machine.unmask(1)),
                end_of_busy(),
            ]
        }),
    );
}

#[test]
fn an_unmasking_that_ignores_busy_is_found() {
    is_found(
        "a guest that unmasks a busy word",
        busy_word(|| {
            vec![
                work(|machine: Guest<Correct>| {
                    machine.domain.words[1].clear_bits(MASKED);
                }),
                end_of_busy(),
            ]
        }),
    );
}

#[test]
fn a_first_look_that_only_reads_is_found() {
    is_found(
        "a guest that does not exchange the ready bits after it has cleared the upcall flag",
        Scenario::<Correct> {
            work: || {
                vec![
                    work(|machine: Guest<Correct>| {
                        let vcpu = &machine.domain.vcpus[0];
                        while vcpu.upcall_pending.load() != 0 {
                            vcpu.upcall_pending.store(0);
                            if vcpu.block[0].load() != 0 {
                                machine.consume(0, |port| machine.handle(port));
                            }
                        }
                    }),
                    sender(&[1]),
                ]
            },
            ..Scenario::default()
        },
    );
}
