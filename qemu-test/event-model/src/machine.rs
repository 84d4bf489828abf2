// SPDX-License-Identifier: GPL-2.0

//! A guest on the hypervisor, around the kernel's files: the upcall, the reasons for which an
//! interrupt is masked, and its handler.
//!
//! These are functions in C of the kernel's `events_base.c`, which is not part of this project:
//! `xen_evtchn_do_upcall()`, `do_mask()` and `do_unmask()`, `xen_rebind_evtchn_to_cpu()`, and the
//! acknowledgements of a `xen-dyn-lateeoi` interrupt.

use crate::{
    atomic::{self, AtomicU32, Lock},
    cpu_events::CpuEvents,
    event_array::EventArray,
    event_queue::{Astray, Priority},
    event_word::{EventWord, Port},
    hypervisor::{Domain, PENDING},
    per_cpu::PossibleCpu,
    prelude::{Error, Result},
    shared_page::{HandedOver, SharedPage, WORDS_PER_PAGE},
    xen::event::hypervisor::Hypervisor,
};
use std::sync::atomic::{
    AtomicU32 as HostAtomic,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

/// Reasons to mask an event: its interrupt is being moved, or its handler is not done.
const TEMPORARILY: u32 = 1;
const HANDLED_LATER: u32 = 2;

/// Counts of one port's events. They are not part of what is tested, so the model checker need not
/// know them.
#[derive(Default)]
struct Counts {
    /// Number of events that became pending and were not before.
    sent: HostAtomic,
    /// Number of events that were acknowledged: by a handler, in all but one of the tests.
    delivered: HostAtomic,
    /// The last payload that a handler has seen.
    seen: HostAtomic,
    /// 1 if the port is closed.
    closed: HostAtomic,
}

/// A port as the guest sees it.
struct Interrupt {
    /// Reasons for which its events are masked, and the lock that is held to change them.
    reasons: Lock,
    /// 1 while the handler of an event that ends later is at work.
    active: AtomicU32,
    /// Memory that the sender writes before it sends an event, such as the index of a ring. There
    /// is no order on it but that of the events.
    payload: AtomicU32,
    counts: Counts,
}

impl Interrupt {
    /// No handler is going to see what was written so far.
    fn forget_payload(&self) {
        self.counts.seen.store(self.payload.load(Relaxed), SeqCst);
    }
}

/// A domain and the guest in it.
pub struct Machine {
    pub domain: Domain,
    array: Box<EventArray>,
    /// By vCPU number.
    cpus: Vec<CpuEvents>,
    /// The lock of changes of the array.
    array_lock: Lock,
    /// By port.
    interrupts: Vec<Interrupt>,
    /// Number of events that were delivered and were not pending any more.
    spurious: HostAtomic,
    /// True if events come with a payload. Without it there are fewer steps, so more interleavings
    /// of the others can be explored.
    pub has_payload: bool,
}

/// The port of this number.
pub fn port(number: usize) -> Port {
    Port::new(number as u32).expect("a number of the test's own")
}

/// The hypervisor of a machine, as the kernel's files call it.
struct Xen<'a>(&'a Machine);

impl Hypervisor for Xen<'_> {
    fn new_page(&mut self) -> Result<SharedPage> {
        Ok(SharedPage::new())
    }

    fn take_page(&mut self) -> Option<SharedPage> {
        Some(SharedPage::new())
    }

    fn put_page(&mut self, _page: SharedPage) {}

    fn init_control(&mut self, page: HandedOver<'_>, cpu: PossibleCpu) -> Result {
        let vcpu = cpu.number() as usize;
        self.0.domain.init_control(vcpu, page.share());
        Ok(())
    }

    fn expand_array(&mut self, page: HandedOver<'_>) -> Result {
        self.0.domain.expand_array(page.share());
        Ok(())
    }

    fn unmask(&mut self, port: u32) {
        self.0.unmask_by_hypervisor(port as usize);
    }

    fn stop_without_array(&mut self, error: Error) {
        panic!("no page: {error:?}");
    }

    fn alone<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let _locked = self.0.array_lock.lock();
        change(self)
    }
}

impl Machine {
    /// A machine whose ports in the first page are all unmasked. Ports of other pages are not set
    /// up.
    pub fn new(vcpus: usize, ports: usize) -> Self {
        let interrupt = |_| Interrupt {
            reasons: Lock::new(),
            active: AtomicU32::new(0),
            payload: AtomicU32::new(0),
            counts: Counts::default(),
        };
        let machine = Self {
            domain: Domain::new(vcpus, ports),
            array: Box::new(EventArray::new()),
            cpus: (0..vcpus).map(|_| CpuEvents::new()).collect(),
            array_lock: Lock::new(),
            interrupts: (0..=ports).map(interrupt).collect(),
            spurious: HostAtomic::new(0),
            has_payload: true,
        };
        machine.start();
        machine
    }

    /// Hands the control blocks over, and the page of the first ports.
    fn start(&self) {
        for (number, cpu) in (0..).zip(&self.cpus) {
            let up = cpu.bring_up(PossibleCpu(number), &mut Xen(self));
            up.expect("the hypervisor refuses nothing");
        }
        self.set_up(1);
        for number in self
            .domain
            .ports()
            .filter(|number| *number < WORDS_PER_PAGE)
        {
            self.unmask(number);
        }
    }

    /// The domain was saved and restored: the hypervisor is another one, which has the same
    /// channels open. No other CPU runs. The events that were under way are lost, as with the
    /// channels that they came by.
    pub fn resume(&mut self) {
        self.domain = Domain::new(self.cpus.len(), self.interrupts.len() - 1);
        self.array.restart();
        for cpu in &self.cpus {
            cpu.restart();
        }
        for interrupt in &self.interrupts {
            let counts = &interrupt.counts;
            counts.delivered.store(counts.sent.load(SeqCst), SeqCst);
            interrupt.forget_payload();
        }
        self.start();
    }

    /// Accesses everything that threads will, in this thread. See [`Domain::touch`].
    pub fn touch(&self) {
        self.domain.touch();
        drop(self.array_lock.lock());
        self.array.page_count();
        for cpu in &self.cpus {
            let queues = Priority::all().filter(|priority| cpu.queue(*priority).is_some());
            assert_eq!(queues.count(), crate::event_queue::PRIORITIES);
        }
        for number in self.domain.ports() {
            let interrupt = &self.interrupts[number];
            drop(interrupt.reasons.lock());
            interrupt.active.load(Relaxed);
            interrupt.payload.load(Relaxed);
            self.array.word(port(number));
        }
    }

    /// The guest gets ready for events of a port.
    pub fn set_up(&self, number: usize) {
        let set_up = self.array.set_up(number as u32, &mut Xen(self));
        set_up.expect("the hypervisor refuses nothing");
        assert!(
            self.find(port(number)).is_some(),
            "no word of port {number}"
        );
    }

    pub fn word(&self, number: usize) -> EventWord<'_, AtomicU32> {
        self.find(port(number)).expect("a port that is set up")
    }

    /// The event word of a port, if the guest finds it.
    fn find(&self, port: Port) -> Option<EventWord<'_, AtomicU32>> {
        self.array.word(port)
    }

    /// Writes a payload and sends an event, as another domain does.
    pub fn send(&self, number: usize) {
        if self.has_payload {
            self.interrupts[number].payload.fetch_add(1, Relaxed);
        }
        if self.domain.send(number) {
            self.interrupts[number].counts.sent.fetch_add(1, SeqCst);
        }
    }

    /// The guest masks.
    pub fn mask(&self, number: usize) {
        self.array.mask(number as u32);
    }

    /// The guest unmasks.
    pub fn unmask(&self, number: usize) {
        self.array.unmask(number as u32, &mut Xen(self));
    }

    /// The hypervisor unmasks, whoever has masked.
    pub fn unmask_by_hypervisor(&self, number: usize) {
        let again = self.domain.unmask(number);
        let sent = &self.interrupts[number].counts.sent;
        sent.fetch_add(u32::from(again), SeqCst);
    }

    /// The guest masks for a reason, besides those that there are.
    fn mask_for(&self, number: usize, reason: u32) {
        let mut reasons = self.interrupts[number].reasons.lock();
        if *reasons == 0 {
            self.mask(number);
        }
        *reasons |= reason;
    }

    /// A reason ends, and with the last one the masking.
    fn unmask_for(&self, number: usize, reason: u32) {
        let mut reasons = self.interrupts[number].reasons.lock();
        *reasons &= !reason;
        if *reasons == 0 {
            self.unmask(number);
        }
    }

    /// The guest moves an interrupt to another vCPU, or to the one where it is.
    pub fn move_to(&self, number: usize, vcpu: usize, priority: usize) {
        self.mask_for(number, TEMPORARILY);
        self.domain.set_queue(number, vcpu, priority);
        self.unmask_for(number, TEMPORARILY);
    }

    /// The guest closes a port.
    pub fn close(&self, number: usize) {
        let counts = &self.interrupts[number].counts;
        counts.closed.store(1, SeqCst);
        self.mask(number);
        if self.domain.close(number) {
            counts.delivered.fetch_add(1, SeqCst);
        }
        self.interrupts[number].forget_payload();
    }

    /// The guest opens a port that it has closed. Returns whether it did: the hypervisor gives out
    /// no port that is busy.
    pub fn open(&self, number: usize) -> bool {
        let open = self.domain.open(number);
        if open {
            let counts = &self.interrupts[number].counts;
            counts.closed.store(0, SeqCst);
            self.set_up(number);
            self.unmask(number);
        }
        open
    }

    /// The handler of an interrupt that stays masked until it is said to have ended. Nothing
    /// happens if it is at work.
    pub fn begin_handling(&self, port: Port) {
        let number = port.number() as usize;
        let active = self.interrupts[number].active.by_xen();
        if active.test_and_set(1) == 0 {
            self.mask_for(number, HANDLED_LATER);
            self.handle(port);
        }
    }

    /// Ends the active handler `number`. Returns true if there was one.
    pub fn end_handling(&self, number: usize) -> bool {
        let active = self.interrupts[number].active.by_xen();
        let was_active = active.load_with(Acquire) != 0;
        if was_active {
            active.store_with(0, Release);
            self.unmask_for(number, HANDLED_LATER);
        }
        was_active
    }

    /// The interrupt's handler, which acknowledges first, and then sees the payload.
    pub fn handle(&self, port: Port) {
        let number = port.number() as usize;
        let interrupt = &self.interrupts[number];
        let counter = if self.acknowledge(number) {
            &interrupt.counts.delivered
        } else {
            &self.spurious
        };
        counter.fetch_add(1, SeqCst);
        if self.has_payload {
            let payload = interrupt.payload.load(Relaxed);
            interrupt.counts.seen.fetch_max(payload, SeqCst);
        }
    }

    /// The guest acknowledges an event. Returns whether it was pending.
    fn acknowledge(&self, number: usize) -> bool {
        self.array.clear_pending(number as u32);
        atomic::found() & PENDING != 0
    }

    /// The guest acknowledges an event that it does not handle.
    pub fn drop_event(&self, number: usize) {
        let was_pending = self.acknowledge(number);
        let interrupt = &self.interrupts[number];
        let delivered = &interrupt.counts.delivered;
        delivered.fetch_add(u32::from(was_pending), SeqCst);
        interrupt.forget_payload();
    }

    /// Takes all events out of the queues of a vCPU.
    pub fn consume(&self, vcpu: usize, handle: impl FnMut(Port)) {
        self.cpus[vcpu].consume(&self.array, handle, fail);
    }

    /// Work of another CPU for a vCPU that has gone offline.
    pub fn drain(&self, vcpu: usize) {
        let leave = |port: Port| {
            atomic::reach(|reached| reached.drained += 1);
            let number = port.number() as usize;
            let (to, priority) = self.domain.queue(number);
            if to != vcpu {
                self.move_to(number, to, priority);
            }
        };
        self.cpus[vcpu].drain(&self.array, leave, fail);
    }

    /// The upcall, if the hypervisor asked for one. Returns whether it did.
    pub fn upcall(&self, vcpu: usize, mut handle: impl FnMut(Port)) -> bool {
        let flag = &self.domain.vcpus[vcpu].upcall_pending;
        if flag.load(Relaxed) == 0 {
            return false;
        }
        loop {
            flag.store(0, Relaxed);
            self.consume(vcpu, &mut handle);
            atomic::barrier(Acquire);
            if flag.load(Relaxed) == 0 {
                return true;
            }
        }
    }

    /// All CPUs serve what they are asked to, until nobody is.
    pub fn settle(&self) {
        let ended = || self.domain.ports().any(|number| self.end_handling(number));
        let served =
            || (0..self.cpus.len()).any(|vcpu| self.upcall(vcpu, |port| self.begin_handling(port)));
        while ended() || served() {}
    }

    /// Number of calls of a handler for an event that had been acknowledged.
    pub fn spurious(&self) -> u32 {
        self.spurious.load(SeqCst)
    }

    /// Checks what has to hold when nobody has anything to do: all events were delivered, once, and
    /// each handler has seen what was written before the event.
    pub fn check_settled(&self) {
        for number in self.domain.ports() {
            let Some(word) = self.find(port(number)) else {
                continue;
            };
            assert!(
                !word.state().linked,
                "port {number} is linked, but in no queue"
            );
            let interrupt = &self.interrupts[number];
            let counts = &interrupt.counts;
            if word.state().masked || counts.closed.load(SeqCst) != 0 {
                continue;
            }
            assert!(!word.is_pending(), "the event of port {number} is lost");
            assert_eq!(
                counts.delivered.load(SeqCst),
                counts.sent.load(SeqCst),
                "sent and delivered of port {number}"
            );
            if self.has_payload {
                assert_eq!(
                    counts.seen.load(SeqCst),
                    interrupt.payload.load(Relaxed),
                    "payload that the handler of port {number} saw, and that was written"
                );
            }
        }
    }
}

/// No queue of a test leads out of itself.
fn fail(astray: Astray) {
    panic!("a queue leads astray: {astray:?}");
}
