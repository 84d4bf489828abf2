// SPDX-License-Identifier: GPL-2.0

//! All orders in which the CPUs of a machine can work on the same event words, by loom.
//!
//! Loom runs a test again and again, each time with another order of the threads' steps, and lets
//! reads return all values that the memory model allows. A test prints how many it tried.

use crate::{
    atomic::{self, Fault, Operation, Ordering, Reached},
    event_word::Port,
    hypervisor::{BUSY, LINKED, MASKED},
    machine::{port, Machine},
    shared_page::WORDS_PER_PAGE,
    xen::event::locked_word::SharedWord,
};
use loom::thread;
use std::{
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{
        atomic::{AtomicU64, Ordering::SeqCst},
        Arc, Mutex as StdMutex,
    },
};

/// Number of times that loom takes the CPU away from a thread that could go on. Faults that need
/// more are not found; those of this kind need one or two.
const PREEMPTIONS: usize = 3;

/// Most steps of an interleaving: a new page of the event array takes one for each of its words.
const BRANCHES: usize = 10_000;

type Guest = Arc<Machine>;

/// Work of one CPU.
type Work = Box<dyn FnOnce(Guest) + Send>;

/// One test: the machine at first, and the work of its CPUs.
struct Scenario {
    vcpus: usize,
    ports: usize,
    prepare: fn(&mut Machine),
    work: fn() -> Vec<Work>,
    /// True if a handler may be called for an event that was acknowledged, because two CPUs see
    /// the same one. The kernel has a flag for each interrupt, by which all but one of them go.
    spurious: bool,
    /// True if events come with a payload.
    payload: bool,
    /// Intentional fault of the guest's code.
    fault: Fault,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            vcpus: 1,
            ports: 1,
            prepare: |_| {},
            work: Vec::new,
            spurious: false,
            payload: false,
            fault: Fault::NONE,
        }
    }
}

impl Scenario {
    /// The same, where these operations of the guest have a weaker order than the kernel's files
    /// ask for.
    fn weakened(self, weakened: &'static [(Operation, Ordering)]) -> Self {
        let fault = Fault {
            weakened,
            ..Fault::NONE
        };
        Self { fault, ..self }
    }
}

/// Result of a scenario.
struct Outcome {
    /// Number of interleavings that it took to see all, or to find the fault.
    count: u64,
    right: bool,
    reached: Reached,
}

/// Lets loom try a scenario.
fn explore(scenario: Scenario) -> Outcome {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.max_branches = BRANCHES;
    atomic::take_reached();
    let right = catch_unwind(AssertUnwindSafe(move || {
        builder.check(move || {
            counter.fetch_add(1, SeqCst);
            atomic::set_exploring(false);
            atomic::plant(Fault::NONE);
            let mut machine = Machine::new(scenario.vcpus, scenario.ports);
            machine.has_payload = scenario.payload;
            (scenario.prepare)(&mut machine);
            let machine = Arc::new(machine);
            atomic::set_exploring(true);
            machine.touch();
            atomic::plant(scenario.fault);
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
    atomic::set_exploring(false);
    atomic::plant(Fault::NONE);
    Outcome {
        count: count.load(SeqCst),
        right: right.is_ok(),
        reached: atomic::take_reached(),
    }
}

/// Expects that all interleavings are right. Returns what they reached.
fn holds(name: &str, scenario: Scenario) -> Reached {
    let Outcome {
        count,
        right,
        reached,
    } = explore(scenario);
    assert!(right, "{name}: interleaving {count} is wrong");
    println!("explored {count} interleavings of {name}");
    reached
}

/// Expects that loom finds the fault.
fn is_found(name: &str, scenario: Scenario) {
    let Outcome { count, right, .. } = explore(scenario);
    assert!(count > 0, "{name}: the scenario did not begin");
    assert!(!right, "{name}: not found in {count} interleavings");
    println!("found in interleaving {count}: {name}");
}

fn work(work: impl FnOnce(Guest) + Send + 'static) -> Work {
    Box::new(work)
}

/// A CPU that looks twice whether there is something to do.
fn consumer(vcpu: usize) -> Work {
    work(move |machine: Guest| {
        for _ in 0..2 {
            machine.upcall(vcpu, |port| machine.handle(port));
        }
    })
}

/// Sender of events to these ports, one after the other.
fn sender(ports: &'static [usize]) -> Work {
    work(move |machine: Guest| {
        for port in ports {
            machine.send(*port);
        }
    })
}

fn one_port_sent_twice() -> Scenario {
    Scenario {
        work: || vec![consumer(0), sender(&[1, 1])],
        payload: true,
        ..Scenario::default()
    }
}

fn tail_unlinked_while_linked_to() -> Scenario {
    Scenario {
        ports: 2,
        prepare: |machine| machine.send(1),
        work: || vec![consumer(0), sender(&[2, 1])],
        payload: true,
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
                    // Events that were there before the first look are served by priority.
                    work(|machine: Guest| {
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
                    work(|machine: Guest| {
                        machine.mask(1);
                        machine.unmask(1);
                    }),
                    sender(&[1]),
                ]
            },
            // A handler on one CPU, and the hypervisor links the event again for the other.
            spurious: true,
            ..Scenario::default()
        },
    );
}

#[test]
fn a_tail_is_unmasked_while_it_is_linked_to() {
    let reached = holds(
        "a tail that is unmasked while it is linked to",
        Scenario {
            ports: 2,
            prepare: |machine| {
                machine.send(1);
                machine.mask(1);
                machine.handle(port(1));
            },
            work: || {
                vec![
                    consumer(0),
                    work(|machine: Guest| machine.unmask(1)),
                    sender(&[2]),
                ]
            },
            ..Scenario::default()
        },
    );
    assert!(reached.busy > 0, "the hypervisor marked no word busy");
    assert!(reached.waits > 0, "no unmasking found the word busy");
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
                    work(|machine: Guest| {
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
                    work(|machine: Guest| {
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
    let reached = holds(
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
                    // As the kernel moves an interrupt, and then drains the queues.
                    work(|machine: Guest| {
                        machine.move_to(1, 1, 7);
                        machine.drain(0);
                    }),
                    consumer(1),
                    sender(&[1]),
                ]
            },
            spurious: true,
            ..Scenario::default()
        },
    );
    assert!(reached.drained > 0, "nothing was drained");
}

/// A vCPU has gone offline with an event in its queue, whose interrupt has moved to another vCPU.
/// There the handler ends later, and meanwhile the event stays masked.
fn drained_while_handled(work: fn() -> Vec<Work>) -> Scenario {
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

/// A CPU that looks twice whether there is something to do, and is done with it later.
fn late_consumer(vcpu: usize) -> Work {
    work(move |machine: Guest| {
        for _ in 0..2 {
            machine.upcall(vcpu, |port| machine.begin_handling(port));
        }
        machine.end_handling(1);
    })
}

#[test]
fn an_event_is_handled_while_its_old_queue_is_drained() {
    let reached = holds(
        "an event that is handled while its old queue is drained",
        drained_while_handled(|| {
            vec![
                work(|machine: Guest| machine.drain(0)),
                late_consumer(1),
                sender(&[1, 1]),
            ]
        }),
    );
    assert!(reached.drained > 0, "nothing was drained");
}

#[test]
fn a_drain_that_unmasks_what_others_masked_is_found() {
    is_found(
        "a drain that unmasks what others have masked",
        drained_while_handled(|| {
            vec![
                work(|machine: Guest| {
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
        Scenario {
            vcpus: 2,
            prepare: |machine| {
                machine.send(1);
                machine.domain.set_queue(1, 1, 7);
            },
            work: || {
                vec![work(|machine: Guest| {
                    machine.consume(0, |_| {});
                })]
            },
            ..Scenario::default()
        },
    );
}

/// The link is read, and cleared later: what is linked between the two is lost.
#[test]
fn an_unlinking_in_two_steps_is_found() {
    is_found(
        "a guest that unlinks in two steps",
        Scenario {
            fault: Fault {
                torn_exchange: true,
                ..Fault::NONE
            },
            ..tail_unlinked_while_linked_to()
        },
    );
}

/// The order of the exchange of the ready bits, and the barrier before the heads: one of the two is
/// enough.
#[test]
fn a_head_read_too_early_is_found() {
    is_found(
        "a guest that reads a head without a barrier",
        one_port_sent_twice().weakened(&[
            (Operation::Swap, Ordering::Relaxed),
            (Operation::Fence, Ordering::Relaxed),
        ]),
    );
}

/// Clearing `PENDING` without acquiring lets the handler see what was written before an older
/// event.
#[test]
fn a_payload_read_too_early_is_found() {
    is_found(
        "a guest that acknowledges without an order",
        one_port_sent_twice().weakened(&[(Operation::And, Ordering::Release)]),
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
                    work(|machine: Guest| {
                        machine.mask(1);
                        machine.domain.word_of(1).clear_bits(MASKED);
                    }),
                    sender(&[1]),
                ]
            },
            spurious: true,
            ..Scenario::default()
        },
    );
}

/// A word that the hypervisor has marked busy, while the guest works on it.
fn busy_word(work: fn() -> Vec<Work>) -> Scenario {
    Scenario {
        prepare: |machine| machine.domain.word_of(1).write(MASKED | LINKED | BUSY),
        work,
        ..Scenario::default()
    }
}

/// The hypervisor's end of a word that it has marked. It tries a few times only, and relies
/// on the guest not to change the word meanwhile more often than that: not to unmask it at all.
fn end_of_busy() -> Work {
    work(|machine: Guest| {
        let word = machine.domain.word_of(1);
        let marked = MASKED | LINKED | BUSY;
        word.compare_exchange(marked, MASKED)
            .expect("the guest leaves a busy word masked");
    })
}

#[test]
fn a_busy_word_is_unmasked_later() {
    let reached = holds(
        "an unmasking that waits for the hypervisor",
        busy_word(|| vec![work(|machine: Guest| machine.unmask(1)), end_of_busy()]),
    );
    assert!(reached.waits > 0, "no unmasking found the word busy");
}

#[test]
fn an_unmasking_that_ignores_busy_is_found() {
    is_found(
        "a guest that unmasks a busy word",
        busy_word(|| {
            vec![
                work(|machine: Guest| {
                    machine.domain.word_of(1).clear_bits(MASKED);
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
        Scenario {
            work: || {
                vec![
                    work(|machine: Guest| {
                        let flag = &machine.domain.vcpus[0].upcall_pending;
                        while SharedWord::load(flag) != 0 {
                            SharedWord::store(flag, 0);
                            if machine.domain.ready_bits(0) != 0 {
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

/// First port of the second page of the event array.
const SECOND_PAGE: usize = WORDS_PER_PAGE;

/// The second page of the event array is added while CPUs run.
fn growing(work: fn() -> Vec<Work>) -> Scenario {
    Scenario {
        ports: SECOND_PAGE,
        prepare: |machine| machine.domain.locks_channels = true,
        work,
        payload: true,
        ..Scenario::default()
    }
}

#[test]
fn a_page_comes_while_its_port_is_pending() {
    holds(
        "a page that comes while its port is pending",
        growing(|| {
            vec![
                work(|machine: Guest| {
                    machine.set_up(SECOND_PAGE);
                    machine.unmask(SECOND_PAGE);
                    machine.upcall(0, |port| machine.handle(port));
                }),
                sender(&[SECOND_PAGE, SECOND_PAGE]),
            ]
        }),
    );
}

/// A CPU serves a queue while another one sets up a port of the new page, which has an event then.
/// The first word of the queue is not pending any more, so that nothing but its unlinking stands
/// between the link and the lookup of the page.
fn link_to_new_page() -> Scenario {
    Scenario {
        prepare: |machine| {
            machine.send(1);
            machine.drop_event(1);
        },
        ..growing(|| {
            vec![
                consumer(0),
                work(|machine: Guest| {
                    machine.set_up(SECOND_PAGE);
                    machine.unmask(SECOND_PAGE);
                    machine.send(SECOND_PAGE);
                }),
            ]
        })
    }
}

#[test]
fn a_link_leads_to_a_new_page() {
    holds("a link to a port of a new page", link_to_new_page());
}

#[test]
fn an_unlinking_that_does_not_acquire_is_found() {
    is_found(
        "a guest that follows a link without an order",
        link_to_new_page().weakened(&[(Operation::Exchange, Ordering::Release)]),
    );
}

/// A CPU sets up a port of the new page. The CPU that sends the event also serves the queue, so
/// that nothing but the unmasking stands between the page and its lookup.
fn event_of_new_page() -> Scenario {
    growing(|| {
        vec![
            work(|machine: Guest| {
                machine.set_up(SECOND_PAGE);
                machine.unmask(SECOND_PAGE);
            }),
            work(|machine: Guest| {
                machine.send(SECOND_PAGE);
                machine.upcall(0, |port| machine.handle(port));
            }),
        ]
    })
}

#[test]
fn an_event_comes_when_its_port_is_unmasked() {
    holds(
        "an event of a port that another CPU has just unmasked",
        event_of_new_page(),
    );
}

#[test]
fn an_unmasking_that_does_not_release_is_found() {
    is_found(
        "a guest that unmasks without an order",
        event_of_new_page().weakened(&[(Operation::Exchange, Ordering::Acquire)]),
    );
}

/// Two CPUs that need the same page. One of them may find it known without taking the lock.
fn both_grow() -> Vec<Work> {
    let grow = || work(|machine: Guest| machine.set_up(SECOND_PAGE));
    vec![grow(), grow()]
}

#[test]
fn two_cpus_need_a_page() {
    holds("two CPUs that need a page", growing(both_grow));
}

#[test]
fn a_page_that_is_known_but_not_found_is_found() {
    is_found(
        "a guest that counts a page without an order",
        growing(both_grow).weakened(&[
            (Operation::Add, Ordering::Relaxed),
            (Operation::Load, Ordering::Relaxed),
        ]),
    );
}

#[test]
fn a_domain_is_restored() {
    holds(
        "a domain that was restored with events in its queues",
        Scenario {
            vcpus: 2,
            ports: 2,
            prepare: |machine| {
                machine.domain.set_queue(2, 1, 3);
                machine.send(1);
                machine.send(2);
                machine.resume();
                // Another priority than before, and the other vCPU.
                machine.domain.set_queue(1, 1, 3);
            },
            work: || vec![consumer(0), consumer(1), sender(&[1, 2])],
            payload: true,
            ..Scenario::default()
        },
    );
}

#[test]
fn a_busy_port_is_closed_and_opened() {
    holds(
        "a port that is closed while it is in a queue, and opened again",
        Scenario {
            ports: 2,
            prepare: |machine| {
                machine.domain.locks_channels = true;
                machine.send(1);
            },
            work: || {
                vec![
                    work(|machine: Guest| {
                        machine.upcall(0, |port| machine.handle(port));
                    }),
                    work(|machine: Guest| {
                        machine.close(1);
                        machine.send(2);
                        if machine.open(1) {
                            machine.send(1);
                        }
                    }),
                ]
            },
            // The handler may be called just before the port is closed.
            spurious: true,
            ..Scenario::default()
        },
    );
}
