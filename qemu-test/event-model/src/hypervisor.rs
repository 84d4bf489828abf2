// SPDX-License-Identifier: GPL-2.0

//! The hypervisor's side of the FIFO event channels, modelled on Xen's `common/event_fifo.c`.
//!
//! The bits are those of the public interface, defined here a second time, so that a wrong constant
//! in the guest's code is noticed.

use crate::{
    event_queue::{CONTROL_BLOCK_WORDS, PRIORITIES},
    xen::event::locked_word::SharedWord,
};
use std::ops::DerefMut;

const PENDING: u32 = 1 << 31;
pub const MASKED: u32 = 1 << 30;
pub const LINKED: u32 = 1 << 29;
pub const BUSY: u32 = 1 << 28;
const LINK: u32 = 0x1ffff;

/// Index of the ready word in a control block, and of the first head.
const READY: usize = 0;
const HEADS: usize = 2;

/// Maximum number of attempts to set the link of a word that the guest changes meanwhile.
const LINK_TRIES: u32 = 4;
/// Maximum number of attempts to lock the queues of an event that other CPUs change meanwhile.
const QUEUE_TRIES: u32 = 3;

/// Operations of the hypervisor on a word, in addition to those of the guest.
pub trait HypervisorWord: SharedWord + Default {
    fn fetch_or(&self, bits: u32) -> u32;
    fn fetch_and(&self, bits: u32) -> u32;
    fn exchange_if(&self, expected: u32, new: u32) -> Result<u32, u32>;
}

/// Lock of a queue, with the tail that it protects.
pub trait QueueLock: Default {
    type Guard<'a>: DerefMut<Target = u32>
    where
        Self: 'a;
    fn lock(&self) -> Self::Guard<'_>;
}

/// Kind of memory and locks: those of the model checker or those of the host.
pub trait Memory: 'static {
    type Word: HypervisorWord;
    type Lock: QueueLock;
}

/// State of a vCPU in the hypervisor.
pub struct Vcpu<M: Memory> {
    /// Control block, shared with the guest.
    pub block: [M::Word; CONTROL_BLOCK_WORDS],
    /// Flag that requests an upcall; shared, too.
    pub upcall_pending: M::Word,
    queues: [M::Lock; PRIORITIES],
}

impl<M: Memory> Default for Vcpu<M> {
    fn default() -> Self {
        Self {
            block: Default::default(),
            upcall_pending: M::Word::default(),
            queues: Default::default(),
        }
    }
}

/// State of an event channel in the hypervisor.
struct Channel<M: Memory> {
    /// Queue that it was linked in last, and the queue for the next event.
    last_queue: M::Word,
    queue: M::Word,
}

/// A domain.
pub struct Domain<M: Memory> {
    /// State by vCPU number.
    pub vcpus: Vec<Vcpu<M>>,
    /// Event words by port, shared with the guest. Port 0 is never used.
    pub words: Vec<M::Word>,
    channels: Vec<Channel<M>>,
}

/// Returns the number of a queue, of its vCPU and priority. Queues are locked in the order of their
/// numbers.
fn queue_number(vcpu: usize, priority: usize) -> u32 {
    (vcpu * PRIORITIES + priority) as u32
}

impl<M: Memory> Domain<M> {
    /// Makes a domain whose channels are all masked and bound to vCPU 0 with priority 7.
    pub fn new(vcpus: usize, ports: usize) -> Self {
        let words: Vec<M::Word> = (0..=ports).map(|_| M::Word::default()).collect();
        for word in &words {
            word.store(MASKED);
        }
        let channel = || Channel {
            last_queue: M::Word::default(),
            queue: M::Word::default(),
        };
        let domain = Self {
            vcpus: (0..vcpus).map(|_| Vcpu::default()).collect(),
            words,
            channels: (0..=ports).map(|_| channel()).collect(),
        };
        for port in 1..=ports {
            domain.set_queue(port, 0, 7);
        }
        domain
    }

    /// Binds `port` to another vCPU and priority, from the next event on.
    pub fn set_queue(&self, port: usize, vcpu: usize, priority: usize) {
        let number = queue_number(vcpu, priority);
        self.channels[port].queue.swap(number);
    }

    /// Returns the vCPU and the priority of the next event of `port`.
    pub fn queue(&self, port: usize) -> (usize, usize) {
        let number = self.channels[port].queue.load() as usize;
        (number / PRIORITIES, number % PRIORITIES)
    }

    /// Unmasks the event, as the hypercall does. If it is pending it is sent again; returns true if
    /// the guest acknowledged it in between, so that it became pending once more.
    pub fn unmask(&self, port: usize) -> bool {
        let word = &self.words[port];
        word.fetch_and(!MASKED);
        word.load() & PENDING != 0 && self.send(port)
    }

    /// Acknowledges an event, and returns true if it was pending.
    pub fn acknowledge(&self, port: usize) -> bool {
        self.words[port].fetch_and(!PENDING) & PENDING != 0
    }

    /// Makes an event of `port` pending and puts it into a queue, if it is not masked. Returns true
    /// if none was pending before.
    pub fn send(&self, port: usize) -> bool {
        let (vcpu, priority) = self.queue(port);
        let new = queue_number(vcpu, priority);
        let (old, mut new_tail, mut old_tail) = self.lock_queues(port, new);

        let word = &self.words[port];
        let was_pending = word.fetch_or(PENDING) & PENDING != 0;
        if word.load() & MASKED != 0 || word.fetch_or(LINKED) & LINKED != 0 {
            return !was_pending;
        }

        // If the word was the tail of the queue that it has left, that queue has no tail any more.
        let stale = old_tail.as_deref_mut().unwrap_or(&mut new_tail);
        if *stale == port as u32 {
            *stale = 0;
        }
        if new != old {
            self.channels[port].last_queue.swap(new);
        }
        drop(old_tail);

        let tail = *new_tail;
        let linked = tail != 0 && self.set_link(tail as usize, port as u32);
        let block = &self.vcpus[vcpu].block;
        if !linked {
            block[HEADS + priority].store(port as u32);
        }
        *new_tail = port as u32;
        drop(new_tail);

        if !linked && block[READY].fetch_or(1 << priority) & (1 << priority) == 0 {
            self.vcpus[vcpu].upcall_pending.fetch_or(1);
        }
        !was_pending
    }

    /// Locks queue `new` and the queue that `port` was linked in last, in the order of their
    /// numbers. Returns the second guard only if they differ.
    #[allow(clippy::type_complexity)]
    fn lock_queues(
        &self,
        port: usize,
        new: u32,
    ) -> (
        u32,
        <M::Lock as QueueLock>::Guard<'_>,
        Option<<M::Lock as QueueLock>::Guard<'_>>,
    ) {
        let lock = |queue: u32| {
            let queue = queue as usize;
            self.vcpus[queue / PRIORITIES].queues[queue % PRIORITIES].lock()
        };
        for _ in 0..QUEUE_TRIES {
            let last_queue = &self.channels[port].last_queue;
            let old = last_queue.load();
            let (new_tail, old_tail) = match new.cmp(&old) {
                std::cmp::Ordering::Equal => (lock(new), None),
                std::cmp::Ordering::Less => {
                    let first = lock(new);
                    (first, Some(lock(old)))
                }
                std::cmp::Ordering::Greater => {
                    let first = lock(old);
                    (lock(new), Some(first))
                }
            };
            if last_queue.load() == old {
                return (old, new_tail, old_tail);
            }
        }
        panic!("the hypervisor gives an event up after {QUEUE_TRIES} changes of its queue");
    }

    /// Sets the link of the word of `port`, a tail, to `next`, unless the guest has unlinked it.
    fn set_link(&self, port: usize, next: u32) -> bool {
        let word = &self.words[port];
        let mut seen = word.load();
        if let Some(done) = try_set_link(word, &mut seen, next) {
            return done;
        }
        // Asks the guest not to unmask, which leaves few changes that it can make.
        word.fetch_or(BUSY);
        seen = word.load();
        for _ in 0..LINK_TRIES {
            match try_set_link(word, &mut seen, next) {
                Some(true) => return true,
                Some(false) => {
                    word.fetch_and(!BUSY);
                    return false;
                }
                None => {}
            }
        }
        panic!("the guest kept the hypervisor from setting a link {LINK_TRIES} times");
    }
}

/// Returns true if the link was set, false if the word is not linked, and `None` if the guest has
/// changed the word, whose value is then in `seen`.
fn try_set_link(word: &impl HypervisorWord, seen: &mut u32, next: u32) -> Option<bool> {
    if *seen & LINKED == 0 {
        return Some(false);
    }
    match word.exchange_if(*seen, *seen & !(BUSY | LINK) | next) {
        Ok(_) => Some(true),
        Err(now) => {
            *seen = now;
            None
        }
    }
}
