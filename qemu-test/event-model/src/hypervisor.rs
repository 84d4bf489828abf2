// SPDX-License-Identifier: GPL-2.0

//! The hypervisor's side of the FIFO event channels, as Xen's `common/event_fifo.c` does it.
//!
//! The bits are given by the public interface and written down here a second time, so that a wrong
//! constant of the guest's side does not agree with itself.

use crate::{
    atomic::{reach, AtomicU32, Lock, LockGuard, XenWord},
    event_queue::PRIORITIES,
    shared_page::{SharedWords, WORDS_PER_PAGE},
};
use std::sync::{Arc, OnceLock};

pub const PENDING: u32 = 1 << 31;
pub const MASKED: u32 = 1 << 30;
pub const LINKED: u32 = 1 << 29;
pub const BUSY: u32 = 1 << 28;
const LINK: u32 = 0x1ffff;

/// Indices of the ready bits and of the first head in a control block.
const READY: usize = 0;
const HEADS: usize = 2;

/// Number of attempts to set the link of a word while the guest changes the word.
const LINK_TRIES: u32 = 4;
/// Number of attempts to find the queues of an event while other CPUs change them.
const QUEUE_TRIES: u32 = 3;

/// Most pages of the event array in a test.
const MAX_PAGES: usize = 2;

/// A vCPU as the hypervisor sees it.
pub struct Vcpu {
    /// Page with the control block, shared with the guest.
    block: OnceLock<Arc<SharedWords>>,
    /// The flag by which an upcall is asked for; shared, too.
    pub upcall_pending: AtomicU32,
    /// Tails of the queues.
    queues: [Lock; PRIORITIES],
}

impl Vcpu {
    fn new() -> Self {
        Self {
            block: OnceLock::new(),
            upcall_pending: AtomicU32::new(0),
            queues: [const { Lock::new() }; PRIORITIES],
        }
    }

    fn block_word(&self, index: usize) -> XenWord<'_> {
        let block = self.block.get().expect("the guest unmasks nothing before");
        block[index].by_xen()
    }
}

/// State bits of a channel.
const OPEN: u32 = 1;
/// An event was sent before the page of the event array was there.
const PENDING_WITHOUT_PAGE: u32 = 2;

/// An event channel as the hypervisor sees it.
struct Channel {
    /// The channel's lock, and its state.
    state: Lock,
    /// The queue that it was linked in last, and the one for the next time.
    last_queue: AtomicU32,
    queue: AtomicU32,
}

/// One domain.
pub struct Domain {
    /// By vCPU number.
    pub vcpus: Vec<Vcpu>,
    /// Pages of the event array, shared with the guest.
    array: [OnceLock<Arc<SharedWords>>; MAX_PAGES],
    /// By port; 0 is never used.
    channels: Vec<Channel>,
    /// True if channels are closed, or the array grows, while events are sent: the hypervisor sends
    /// an event with the channel's lock held. Without this the lock is left out, because the fewer
    /// steps there are the more interleavings of the others can be explored. (In Xen several CPUs
    /// may send at a time, as they share that lock.)
    pub locks_channels: bool,
}

/// A queue's vCPU and priority, as one number that gives the order of locks.
fn queue_number(vcpu: usize, priority: usize) -> u32 {
    (vcpu * PRIORITIES + priority) as u32
}

impl Domain {
    /// A domain whose channels are open and go to vCPU 0 with priority 7. It has the 2-level ABI
    /// until the guest hands a control block over.
    pub fn new(vcpus: usize, ports: usize) -> Self {
        let channel = |_| Channel {
            state: Lock::new(),
            last_queue: AtomicU32::new(7),
            queue: AtomicU32::new(7),
        };
        let domain = Self {
            vcpus: (0..vcpus).map(|_| Vcpu::new()).collect(),
            array: [const { OnceLock::new() }; MAX_PAGES],
            channels: (0..=ports).map(channel).collect(),
            locks_channels: false,
        };
        for port in 1..=ports {
            assert!(domain.open(port));
        }
        domain
    }

    /// Ports that a test uses: all, but if there is a second page the first one and those of the
    /// second page only.
    pub fn ports(&self) -> impl Iterator<Item = usize> {
        let end = self.channels.len();
        (1..end).filter(move |port| end <= WORDS_PER_PAGE || *port == 1 || *port >= WORDS_PER_PAGE)
    }

    /// Accesses everything that threads will, in this thread: loom wants an object to be made
    /// before the threads that use it.
    pub fn touch(&self) {
        for vcpu in &self.vcpus {
            vcpu.upcall_pending.by_xen().read();
            for (priority, queue) in vcpu.queues.iter().enumerate() {
                drop(queue.lock());
                vcpu.block_word(HEADS + priority).read();
            }
            vcpu.block_word(READY).read();
        }
        for port in self.ports() {
            let channel = &self.channels[port];
            drop(channel.state.lock());
            channel.last_queue.by_xen().read();
            channel.queue.by_xen().read();
            self.word(port).map(XenWord::read);
        }
    }

    /// The ready bits of a vCPU.
    pub fn ready_bits(&self, vcpu: usize) -> u32 {
        self.vcpus[vcpu].block_word(READY).read()
    }

    /// Takes the control block of a vCPU.
    pub fn init_control(&self, vcpu: usize, page: Arc<SharedWords>) {
        let set = self.vcpus[vcpu].block.set(page);
        assert!(set.is_ok(), "the vCPU has a control block");
    }

    /// Takes the next page of the event array. Events that were sent before become pending in it.
    ///
    /// Xen holds no lock by which it could not miss an event that is sent at this moment. The model
    /// holds that of the channel, as it is the guest that is tested.
    pub fn expand_array(&self, page: Arc<SharedWords>) {
        let free = |slot: &OnceLock<_>| slot.get().is_none();
        let index = self.array.iter().position(free).expect("a free slot");
        let first = index * WORDS_PER_PAGE;
        let mut states: Vec<(usize, LockGuard<'_>)> = (first.max(1)..first + WORDS_PER_PAGE)
            .take_while(|port| *port < self.channels.len())
            .map(|port| (port, self.channels[port].state.lock()))
            .collect();
        assert!(self.array[index].set(page).is_ok());
        for (port, state) in &mut states {
            if **state & PENDING_WITHOUT_PAGE != 0 {
                **state &= !PENDING_WITHOUT_PAGE;
                self.set_pending(*port);
            }
        }
    }

    /// The event word of a port; none if the array lacks its page.
    fn word(&self, port: usize) -> Option<XenWord<'_>> {
        let page = self.array[port / WORDS_PER_PAGE].get()?;
        Some(page[port % WORDS_PER_PAGE].by_xen())
    }

    /// The event word of a port whose page is there.
    pub fn word_of(&self, port: usize) -> XenWord<'_> {
        self.word(port).expect("a page that is there")
    }

    /// Lets the events of `port` go to another vCPU, with another priority, from the next one on.
    pub fn set_queue(&self, port: usize, vcpu: usize, priority: usize) {
        let number = queue_number(vcpu, priority);
        self.channels[port].queue.by_xen().write(number);
    }

    /// The vCPU and the priority of the next event of `port`.
    pub fn queue(&self, port: usize) -> (usize, usize) {
        let number = self.channels[port].queue.by_xen().read() as usize;
        (number / PRIORITIES, number % PRIORITIES)
    }

    /// Opens the channel `port`, unless it is busy: its word is in a queue that was not yet served
    /// so far. Returns whether it did.
    pub fn open(&self, port: usize) -> bool {
        let mut state = self.channels[port].state.lock();
        let busy = self
            .word(port)
            .is_some_and(|word| word.read() & LINKED != 0);
        if !busy {
            *state = OPEN;
        }
        !busy
    }

    /// Closes the channel `port`. Returns whether an event was pending, which is gone.
    pub fn close(&self, port: usize) -> bool {
        let mut state = self.channels[port].state.lock();
        *state = 0;
        self.word(port)
            .is_some_and(|word| word.clear_bits(PENDING) & PENDING != 0)
    }

    /// Effect of the hypercall to unmask. If the guest acknowledges the event at this moment, it
    /// becomes pending once more; returns whether it did.
    pub fn unmask(&self, port: usize) -> bool {
        let _state = self
            .locks_channels
            .then(|| self.channels[port].state.lock());
        let Some(word) = self.word(port) else {
            return false;
        };
        word.clear_bits(MASKED);
        word.read() & PENDING != 0 && self.set_pending(port)
    }

    /// Sends an event to `port`. Returns whether none was pending before, and the channel is open.
    pub fn send(&self, port: usize) -> bool {
        if !self.locks_channels {
            return self.set_pending(port);
        }
        let mut state = self.channels[port].state.lock();
        if *state & OPEN == 0 {
            return false;
        }
        if self.word(port).is_none() {
            let was_pending = *state & PENDING_WITHOUT_PAGE != 0;
            *state |= PENDING_WITHOUT_PAGE;
            return !was_pending;
        }
        self.set_pending(port)
    }

    /// Makes an event of `port` pending and puts it into a queue, if it is not masked. Returns
    /// whether none was pending before.
    fn set_pending(&self, port: usize) -> bool {
        let (vcpu, priority) = self.queue(port);
        let new = queue_number(vcpu, priority);
        let (old, mut new_tail, mut old_tail) = self.lock_queues(port, new);

        let word = self.word_of(port);
        let was_pending = word.test_and_set(PENDING) & PENDING != 0;
        if word.read() & MASKED != 0 || word.test_and_set(LINKED) & LINKED != 0 {
            return !was_pending;
        }

        // A word that was the tail of the queue it left is no tail there any more.
        let stale = old_tail.as_deref_mut().unwrap_or(&mut new_tail);
        if *stale == port as u32 {
            *stale = 0;
        }
        if new != old {
            self.channels[port].last_queue.by_xen().write(new);
        }
        drop(old_tail);

        let tail = *new_tail;
        let linked = tail != 0 && self.set_link(tail as usize, port as u32);
        let vcpu = &self.vcpus[vcpu];
        if !linked {
            vcpu.block_word(HEADS + priority).write(port as u32);
        }
        *new_tail = port as u32;
        drop(new_tail);

        let ready = 1 << priority;
        if !linked && vcpu.block_word(READY).test_and_set(ready) & ready == 0 {
            vcpu.upcall_pending.by_xen().test_and_set(1);
        }
        !was_pending
    }

    /// Locks queue `new` and the one that `port` was linked in last, in the order of their numbers.
    /// The second lock is that of the latter, if it is another one.
    fn lock_queues(&self, port: usize, new: u32) -> (u32, LockGuard<'_>, Option<LockGuard<'_>>) {
        let lock = |queue: u32| {
            let queue = queue as usize;
            self.vcpus[queue / PRIORITIES].queues[queue % PRIORITIES].lock()
        };
        for _ in 0..QUEUE_TRIES {
            let last_queue = self.channels[port].last_queue.by_xen();
            let old = last_queue.read();
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
            if last_queue.read() == old {
                return (old, new_tail, old_tail);
            }
        }
        panic!("the hypervisor gives an event up after {QUEUE_TRIES} changes of its queue");
    }

    /// Lets the word of `port`, a tail, link to `next`, unless the guest has unlinked it.
    fn set_link(&self, port: usize, next: u32) -> bool {
        let word = self.word_of(port);
        let mut seen = word.read();
        if let Some(done) = try_set_link(word, &mut seen, next) {
            return done;
        }
        // Ask the guest not to unmask. Then few changes are left that it can make.
        word.set_bits(BUSY);
        reach(|reached| reached.busy += 1);
        seen = word.read();
        for _ in 0..LINK_TRIES {
            match try_set_link(word, &mut seen, next) {
                Some(true) => return true,
                Some(false) => {
                    word.clear_bits(BUSY);
                    return false;
                }
                None => {}
            }
        }
        panic!("the guest kept the hypervisor from setting a link {LINK_TRIES} times");
    }
}

/// True if the link was set; `None` if the guest has changed the word, which `seen` has then.
fn try_set_link(word: XenWord<'_>, seen: &mut u32, next: u32) -> Option<bool> {
    if *seen & LINKED == 0 {
        return Some(false);
    }
    match word.compare_exchange(*seen, *seen & !(BUSY | LINK) | next) {
        Ok(_) => Some(true),
        Err(now) => {
            *seen = now;
            None
        }
    }
}
