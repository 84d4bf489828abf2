// SPDX-License-Identifier: GPL-2.0

//! The hypervisor's side of the FIFO event channels, as Xen's `common/event_fifo.c` does it.
//!
//! The bits are given by the public interface and written down here a second time, so that a wrong
//! constant of the guest's side does not agree with itself.

use crate::{
    event_queue::{CONTROL_BLOCK_WORDS, PRIORITIES},
    event_word::SharedWord,
};
use std::ops::DerefMut;

const PENDING: u32 = 1 << 31;
pub const MASKED: u32 = 1 << 30;
pub const LINKED: u32 = 1 << 29;
pub const BUSY: u32 = 1 << 28;
const LINK: u32 = 0x1ffff;

/// Where a control block has the ready bits and the first head.
const READY: usize = 0;
const HEADS: usize = 2;

/// How often the link of a word is tried to be set while the guest changes the word.
const LINK_TRIES: u32 = 4;
/// How often the queues of an event are looked for while other CPUs change them.
const QUEUE_TRIES: u32 = 3;

/// What the hypervisor does with a word, besides what the guest does.
pub trait HypervisorWord: SharedWord + Default {
    fn fetch_or(&self, bits: u32) -> u32;
    fn fetch_and(&self, bits: u32) -> u32;
    fn exchange_if(&self, expected: u32, new: u32) -> Result<u32, u32>;
}

/// The lock of a queue, with what it protects: the tail.
pub trait QueueLock: Default {
    type Guard<'a>: DerefMut<Target = u32>
    where
        Self: 'a;
    fn lock(&self) -> Self::Guard<'_>;
}

/// The kind of memory and locks: those of the model checker or the machine's own.
pub trait Memory: 'static {
    type Word: HypervisorWord;
    type Lock: QueueLock;
}

/// A vCPU as the hypervisor sees it.
pub struct Vcpu<M: Memory> {
    /// Shared with the guest.
    pub block: [M::Word; CONTROL_BLOCK_WORDS],
    /// The flag by which an upcall is asked for; shared, too.
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

/// An event channel as the hypervisor sees it.
struct Channel<M: Memory> {
    /// The queue that it was linked in last, and the one for the next time.
    last_queue: M::Word,
    queue: M::Word,
}

/// One domain.
pub struct Domain<M: Memory> {
    /// By vCPU number.
    pub vcpus: Vec<Vcpu<M>>,
    /// By port; shared with the guest. Port 0 is never used.
    pub words: Vec<M::Word>,
    channels: Vec<Channel<M>>,
}

/// A queue's vCPU and priority, as one number that gives the order of locks.
fn queue_number(vcpu: usize, priority: usize) -> u32 {
    (vcpu * PRIORITIES + priority) as u32
}

impl<M: Memory> Domain<M> {
    /// A domain whose channels are all masked and go to vCPU 0 with priority 7.
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

    /// Lets the events of `port` go to another vCPU, with another priority, from the next one on.
    pub fn set_queue(&self, port: usize, vcpu: usize, priority: usize) {
        let number = queue_number(vcpu, priority);
        self.channels[port].queue.swap(number);
    }

    /// The vCPU and the priority of the next event of `port`.
    pub fn queue(&self, port: usize) -> (usize, usize) {
        let number = self.channels[port].queue.load() as usize;
        (number / PRIORITIES, number % PRIORITIES)
    }

    /// What the hypercall to unmask does. If the guest acknowledges the event at this moment, it
    /// becomes pending once more; returns whether it did.
    pub fn unmask(&self, port: usize) -> bool {
        let word = &self.words[port];
        word.fetch_and(!MASKED);
        word.load() & PENDING != 0 && self.send(port)
    }

    /// Acknowledges an event, and returns whether it was pending.
    pub fn acknowledge(&self, port: usize) -> bool {
        self.words[port].fetch_and(!PENDING) & PENDING != 0
    }

    /// Makes an event of `port` pending and puts it into a queue, if it is not masked. Returns
    /// whether none was pending before.
    pub fn send(&self, port: usize) -> bool {
        let (vcpu, priority) = self.queue(port);
        let new = queue_number(vcpu, priority);
        let (old, mut new_tail, mut old_tail) = self.lock_queues(port, new);

        let word = &self.words[port];
        let was_pending = word.fetch_or(PENDING) & PENDING != 0;
        if word.load() & MASKED != 0 || word.fetch_or(LINKED) & LINKED != 0 {
            return !was_pending;
        }

        // Whoever was the tail of the queue it left is no tail there any more.
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

    /// Locks queue `new` and the one that `port` was linked in last, in the order of their numbers.
    /// The second lock is that of the latter, if it is another one.
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

    /// Lets the word of `port`, a tail, link to `next`, unless the guest has unlinked it.
    fn set_link(&self, port: usize, next: u32) -> bool {
        let word = &self.words[port];
        let mut seen = word.load();
        if let Some(done) = try_set_link(word, &mut seen, next) {
            return done;
        }
        // Ask the guest not to unmask. Then few changes are left that it can make.
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

/// Whether the link was set; `None` if the guest has changed the word, which `seen` has then.
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
