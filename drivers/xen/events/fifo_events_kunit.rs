// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the parts of the FIFO-based event channels that need no hypervisor.
//!
//! A crate of its own, with the same source files, so that it can be loaded where there is no Xen.
//! A page that the hypervisor accepted is never freed, and so it is with the one of the tests: they
//! leave some megabytes behind.

#[path = "../rust"]
mod xen {
    pub(crate) mod hypervisor;
    #[allow(dead_code, unused_imports, unused_macros)]
    pub(crate) mod per_cpu;
    #[allow(dead_code)]
    pub(crate) mod shared_page;
}

mod array_ops;
mod cpu_events;
mod event_array;
mod event_queue;
mod event_word;
mod locked_word;

use crate::{
    event_array::EventArray,
    event_word::{
        Port,
        WordState, //
    },
    xen::{
        hypervisor::Hypervisor,
        per_cpu::PossibleCpu,
        shared_page::{
            HandedOver,
            SharedPage, //
        }, //
    },
};
use core::sync::atomic::Ordering::Relaxed;
use kernel::prelude::*;

module! {
    type: FifoEventsKunitModule,
    name: "xen_evtchn_fifo_rust_kunit",
    authors: ["The Rust gntdev maintainers"],
    description: "KUnit tests of the Rust FIFO event channels",
    license: "GPL",
}

/// Nothing to keep: KUnit runs the suites of a module when it is loaded.
struct FifoEventsKunitModule;

impl kernel::Module for FifoEventsKunitModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

/// The bits of an event word, by the public interface.
const PENDING: u32 = 1 << 31;
const MASKED: u32 = 1 << 30;
const LINKED: u32 = 1 << 29;

/// How many words a page has, by the public interface.
const WORDS: u32 = 1024;

/// What stands for the hypervisor.
#[derive(Default)]
struct FakeHypervisor<'a> {
    /// How many more pages it can be told of, and how many can be allocated; any number if `None`.
    accepts: Option<usize>,
    memory: Option<usize>,
    /// How many pages were allocated.
    allocated: usize,
    /// The addresses of the pages of the event array, and of control blocks.
    array: KVec<usize>,
    blocks: KVec<usize>,
    /// Whether a page of the array had a word that was not masked when it was told of it.
    saw_unmasked: bool,
    /// What it writes into words of a page or of a control block that it is told of.
    words: KVec<(usize, u32)>,
    block_words: KVec<(usize, u32)>,
    /// What another CPU does just before the next change of the array, and how that ended.
    rival: Option<(&'a EventArray, Port)>,
    rival_result: Option<Result>,
    /// An array, and whether one of its pages was found there when the hypervisor was told of it.
    watched: Option<&'a EventArray>,
    found_early: bool,
    /// The port that it was asked to unmask last, and why the machine would have been stopped.
    unmasked: Option<u32>,
    stopped: Option<Error>,
}

impl FakeHypervisor<'_> {
    fn new() -> Self {
        Self::default()
    }

    fn refuse_none(&mut self) {
        self.accepts = None;
        self.memory = None;
    }
}

fn take_one(left: &mut Option<usize>, error: Error) -> Result {
    if let Some(count) = left {
        *count = count.checked_sub(1).ok_or(error)?;
    }
    Ok(())
}

fn write(page: &HandedOver<'_>, words: &[(usize, u32)]) {
    for (index, value) in words {
        if let Some(word) = page.get(*index) {
            word.store(*value, Relaxed);
        }
    }
}

impl Hypervisor for FakeHypervisor<'_> {
    fn new_page(&mut self) -> Result<SharedPage> {
        take_one(&mut self.memory, ENOMEM)?;
        self.allocated += 1;
        SharedPage::new()
    }

    fn init_control(&mut self, page: HandedOver<'_>, _cpu: PossibleCpu) -> Result {
        take_one(&mut self.accepts, ENOSPC)?;
        write(&page, &self.block_words);
        Ok(self.blocks.push(page.as_ptr() as usize, GFP_ATOMIC)?)
    }

    fn expand_array(&mut self, page: HandedOver<'_>) -> Result {
        take_one(&mut self.accepts, ENOSPC)?;
        self.saw_unmasked |= page.iter().any(|word| word.load(Relaxed) != MASKED);
        let first = (self.array.len() as u32 * WORDS).max(1);
        self.found_early |= self
            .watched
            .is_some_and(|array| state(array, first).is_some());
        write(&page, &self.words);
        Ok(self.array.push(page.as_ptr() as usize, GFP_ATOMIC)?)
    }

    fn unmask(&mut self, port: u32) {
        self.unmasked = Some(port);
    }

    fn stop_without_array(&mut self, error: Error) {
        self.stopped = Some(error);
    }

    fn alone<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        if let Some((array, port)) = self.rival.take() {
            self.rival_result = Some(array.grow(port, self));
        }
        change(self)
    }
}

fn port(number: u32) -> Result<Port> {
    Port::new(number).ok_or(EINVAL)
}

/// What the word of a port is; none if there is no word.
fn state(array: &EventArray, number: u32) -> Option<WordState> {
    let word = array.word(Port::new(number)?)?;
    Some(word.state())
}

#[kunit_tests(xen_evtchn_fifo_array)]
mod array_tests {
    use super::{
        port,
        state,
        FakeHypervisor,
        WORDS, //
    };
    use crate::{
        event_array::{
            EventArray,
            MAX_PAGES, //
        },
        event_word::Port, //
    };
    use kernel::prelude::*;

    #[test]
    fn ports_beyond_the_interface_do_not_exist() {
        assert!(Port::new(0).is_none());
        assert!(Port::new(131_071).is_some());
        assert!(Port::new(131_072).is_none());
        assert!(Port::new(u32::MAX).is_none());
    }

    #[test]
    fn an_array_without_pages_has_no_word() {
        let array = EventArray::new();
        for number in [1, WORDS - 1, WORDS, 131_071] {
            assert!(state(&array, number).is_none());
        }
    }

    #[test]
    fn it_grows_one_page_at_a_time_to_all_ports() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        for page in 0..MAX_PAGES as u32 {
            // The last port of a page and the first one need the same page.
            for number in [(page + 1) * WORDS - 1, (page * WORDS).max(1)] {
                array.grow(port(number)?, &mut xen)?;
                assert_eq!(array.page_count(), page as usize + 1);
            }
            assert!(state(&array, (page + 1) * WORDS).is_none());
        }
        assert_eq!(xen.array.len(), 128);
        assert_eq!(xen.allocated, 128);
        Ok(())
    }

    #[test]
    fn it_grows_to_all_ports_at_once() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(131_071)?, &mut xen)?;
        assert_eq!(array.page_count(), 128);
        let told = &xen.array;
        assert_eq!(told.len(), 128);
        for (index, page) in told.iter().enumerate() {
            assert!(!told[..index].contains(page));
        }
        Ok(())
    }

    #[test]
    fn each_port_has_a_word_of_its_own() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(131_071)?, &mut xen)?;
        for number in 1..Port::LIMIT {
            let word = array.word(port(number)?).ok_or(ENOENT)?;
            assert!(word.state().is_unused());
            word.set_pending();
        }
        Ok(())
    }

    #[test]
    fn new_pages_are_masked_when_the_hypervisor_sees_them() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(5 * WORDS)?, &mut xen)?;
        assert!(!xen.saw_unmasked);
        Ok(())
    }

    #[test]
    fn a_page_is_found_when_the_hypervisor_knows_it() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        xen.watched = Some(&array);
        array.grow(port(2 * WORDS)?, &mut xen)?;
        assert_eq!(xen.array.len(), 3);
        assert!(!xen.found_early);
        Ok(())
    }

    #[test]
    fn two_cpus_that_need_a_page_add_it_once() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        xen.rival = Some((&array, port(WORDS)?));
        array.grow(port(2 * WORDS)?, &mut xen)?;
        assert_eq!(xen.rival_result, Some(Ok(())));
        assert_eq!(array.page_count(), 3);
        assert_eq!(xen.array.len(), 3);
        // One of them was for nothing.
        assert_eq!(xen.allocated, 4);
        for page in 0..3 {
            assert!(state(&array, page * WORDS + 1).is_some_and(|state| state.is_unused()));
        }
        Ok(())
    }

    #[test]
    fn two_cpus_hand_a_page_over_again_once() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(1)?, &mut xen)?;
        array.restart();
        let mut other = FakeHypervisor::new();
        other.rival = Some((&array, port(1)?));
        array.grow(port(1)?, &mut other)?;
        assert_eq!(array.page_count(), 1);
        assert_eq!(other.array.len(), 1);
        Ok(())
    }

    #[test]
    fn a_first_page_that_is_refused_leaves_none() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        xen.accepts = Some(0);
        assert_eq!(array.grow(port(1)?, &mut xen), Err(ENOSPC));
        assert_eq!(array.page_count(), 0);
        assert!(state(&array, 1).is_none());

        xen.refuse_none();
        array.grow(port(1)?, &mut xen)?;
        assert!(state(&array, 1).is_some());
        assert_eq!(xen.allocated, 2);
        Ok(())
    }

    #[test]
    fn a_later_page_that_is_refused_leaves_those_before() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        xen.accepts = Some(5);
        assert_eq!(array.grow(port(9 * WORDS)?, &mut xen), Err(ENOSPC));
        assert_eq!(array.page_count(), 5);
        assert!(state(&array, 5 * WORDS - 1).is_some());
        assert!(state(&array, 5 * WORDS).is_none());
        // The page that was refused is not kept: it takes a new one to go on.
        assert_eq!(xen.allocated, 6);

        xen.refuse_none();
        array.grow(port(9 * WORDS)?, &mut xen)?;
        assert_eq!(array.page_count(), 10);
        assert_eq!(xen.allocated, 11);
        Ok(())
    }

    #[test]
    fn no_memory_leaves_what_is_there() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        for pages in [0, 3] {
            xen.memory = Some(pages);
            assert_eq!(array.grow(port(9 * WORDS)?, &mut xen), Err(ENOMEM));
            assert_eq!(array.page_count(), pages);
        }
        xen.refuse_none();
        array.grow(port(9 * WORDS)?, &mut xen)
    }

    #[test]
    fn after_a_restore_the_same_pages_are_handed_over() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(3 * WORDS)?, &mut xen)?;
        {
            let word = array.word(port(7)?).ok_or(ENOENT)?;
            word.set_pending();
        }

        array.restart();
        assert_eq!(array.page_count(), 0);
        let mut other = FakeHypervisor::new();
        array.grow(port(3 * WORDS)?, &mut other)?;
        assert_eq!(&xen.array[..], &other.array[..]);
        assert_eq!(other.allocated, 0);
        assert!(!other.saw_unmasked);
        assert!(state(&array, 7).is_some_and(|state| state.is_unused()));
        Ok(())
    }

    #[test]
    fn a_page_refused_after_a_restore_is_kept_for_the_next_time() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(3 * WORDS)?, &mut xen)?;
        array.restart();
        xen.accepts = Some(2);
        assert_eq!(array.grow(port(3 * WORDS)?, &mut xen), Err(ENOSPC));
        assert_eq!(array.page_count(), 2);
        assert!(state(&array, 3 * WORDS).is_some());

        xen.refuse_none();
        array.grow(port(4 * WORDS)?, &mut xen)?;
        assert_eq!(array.page_count(), 5);
        assert_eq!(xen.allocated, 5);
        Ok(())
    }
}

#[kunit_tests(xen_evtchn_fifo_ops)]
mod ops_tests {
    use super::{
        state,
        FakeHypervisor,
        WORDS, //
    };
    use crate::event_array::EventArray;
    use kernel::prelude::*;

    /// No port, the first one without a page where there is one page, and numbers of no port.
    const WITHOUT_WORD: [u32; 6] = [0, WORDS, 131_071, 131_072, 1 << 31, u32::MAX];

    /// All operations on ports that have no word.
    fn operate_on_nothing(array: &EventArray, ports: &[u32]) {
        let mut xen = FakeHypervisor::new();
        for port in ports {
            array.set_pending(*port);
            assert!(!array.is_pending(*port));
            array.clear_pending(*port);
            array.mask(*port);
            array.unmask(*port, &mut xen);
            assert_eq!(xen.unmasked, None);
        }
    }

    #[test]
    fn operations_on_a_port_without_a_word_do_nothing() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        operate_on_nothing(&array, &WITHOUT_WORD);
        operate_on_nothing(&array, &[1, WORDS - 1]);
        array.set_up(1, &mut xen)?;
        operate_on_nothing(&array, &WITHOUT_WORD);
        for port in 0..WORDS {
            assert!(port == 0 || state(&array, port).is_some_and(|state| state.is_unused()));
        }
        Ok(())
    }

    #[test]
    fn operations_on_a_word() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.set_up(7, &mut xen)?;
        array.set_pending(7);
        assert!(array.is_pending(7));
        assert!(!array.is_pending(6) && !array.is_pending(8));
        array.unmask(7, &mut xen);
        assert_eq!(xen.unmasked, Some(7));
        assert!(state(&array, 7).is_some_and(|state| state.masked));

        array.clear_pending(7);
        assert!(!array.is_pending(7));
        xen.unmasked = None;
        array.unmask(7, &mut xen);
        assert_eq!(xen.unmasked, None);
        assert!(state(&array, 7).is_some_and(|state| !state.masked));
        array.mask(7);
        assert!(state(&array, 7).is_some_and(|state| state.is_unused()));
        Ok(())
    }

    #[test]
    fn an_interrupt_without_a_port_needs_no_word() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.set_up(0, &mut xen)?;
        assert_eq!(array.page_count(), 0);
        Ok(())
    }

    #[test]
    fn a_port_that_cannot_be_is_refused() {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        for port in [131_072, 1 << 31, u32::MAX] {
            assert_eq!(array.set_up(port, &mut xen), Err(EINVAL));
        }
        assert_eq!(array.page_count(), 0);
        assert_eq!(xen.stopped, None);
    }

    #[test]
    fn the_machine_stops_without_a_first_page() {
        for (accepts, memory, error) in [(Some(0), None, ENOSPC), (None, Some(0), ENOMEM)] {
            let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
            (xen.accepts, xen.memory) = (accepts, memory);
            assert_eq!(array.set_up(1, &mut xen), Err(error));
            assert_eq!(xen.stopped, Some(error));
        }
    }

    #[test]
    fn a_port_that_gets_no_later_page_is_refused() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.set_up(1, &mut xen)?;
        xen.accepts = Some(0);
        assert_eq!(array.set_up(WORDS, &mut xen), Err(ENOSPC));
        xen.refuse_none();
        xen.memory = Some(0);
        assert_eq!(array.set_up(WORDS, &mut xen), Err(ENOMEM));
        assert_eq!(xen.stopped, None);
        operate_on_nothing(&array, &[WORDS]);
        array.set_up(WORDS - 1, &mut xen)
    }
}

#[kunit_tests(xen_evtchn_fifo_cpu)]
mod cpu_tests {
    use super::{
        port,
        state,
        FakeHypervisor,
        LINKED,
        MASKED,
        PENDING,
        WORDS, //
    };
    use crate::{
        cpu_events::CpuEvents,
        event_array::EventArray,
        event_queue::Priority,
        xen::per_cpu::PossibleCpu, //
    };
    use kernel::prelude::*;

    #[test]
    fn a_cpu_that_was_never_online_has_no_events() {
        let (cpu, array) = (CpuEvents::new(), EventArray::new());
        let mut count = 0;
        cpu.consume(&array, |_| count += 1);
        assert_eq!(count, 0);
        assert!(!cpu.is_known());
    }

    #[test]
    fn a_cpu_that_comes_back_keeps_its_control_block() -> Result {
        let (cpu, mut xen) = (CpuEvents::new(), FakeHypervisor::new());
        for _ in 0..3 {
            cpu.bring_up(PossibleCpu::current(), &mut xen)?;
            assert!(cpu.is_known());
        }
        assert_eq!(xen.blocks.len(), 1);
        Ok(())
    }

    #[test]
    fn a_control_block_that_is_refused_is_not_kept() -> Result {
        let (cpu, mut xen) = (CpuEvents::new(), FakeHypervisor::new());
        xen.accepts = Some(0);
        assert_eq!(cpu.bring_up(PossibleCpu::current(), &mut xen), Err(ENOSPC));
        assert!(!cpu.is_known());
        xen.refuse_none();
        cpu.bring_up(PossibleCpu::current(), &mut xen)?;
        assert!(cpu.is_known());
        assert_eq!(xen.allocated, 2);
        Ok(())
    }

    #[test]
    fn after_a_restore_the_same_control_block_is_handed_over() -> Result {
        let (cpu, mut xen) = (CpuEvents::new(), FakeHypervisor::new());
        xen.block_words.push((0, 1 << 3), GFP_KERNEL)?;
        cpu.bring_up(PossibleCpu::current(), &mut xen)?;

        cpu.restart();
        assert!(!cpu.is_known());
        let mut other = FakeHypervisor::new();
        cpu.bring_up(PossibleCpu::current(), &mut other)?;
        assert_eq!(&xen.blocks[..], &other.blocks[..]);
        assert_eq!(other.allocated, 0);

        // What the old hypervisor had written is gone.
        let array = EventArray::new();
        cpu.consume(&array, |_| ());
        assert_eq!(cpu.astray(), 0);
        Ok(())
    }

    #[test]
    fn draining_takes_all_words_out_of_the_queues() -> Result {
        let (cpu, array, mut xen) = (CpuEvents::new(), EventArray::new(), FakeHypervisor::new());
        // Priority 2: ports 9, 7. Priority 7: port 5, masked, and port 3, acknowledged.
        let words = [
            (9, PENDING | LINKED | 7),
            (7, PENDING | LINKED),
            (5, PENDING | MASKED | LINKED | 3),
            (3, LINKED),
        ];
        let block = [(0, 1 << 2 | 1 << 7), (2 + 2, 9), (2 + 7, 5)];
        xen.block_words.extend_from_slice(&block, GFP_KERNEL)?;
        cpu.bring_up(PossibleCpu::current(), &mut xen)?;
        xen.words.extend_from_slice(&words, GFP_KERNEL)?;
        array.grow(port(1)?, &mut xen)?;

        let mut heads = [0; 16];
        for (head, priority) in heads.iter_mut().zip(Priority::all()) {
            let queue = cpu.queue(priority);
            *head = queue.map_or(0, |queue| if queue.ready { queue.head } else { 0 });
        }
        assert_eq!(heads, [0, 0, 9, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]);

        let mut left = [0; 2];
        let mut count = 0;
        cpu.drain(&array, |port| {
            if let Some(slot) = left.get_mut(count) {
                *slot = port.number();
            }
            count += 1;
        });
        assert_eq!(count, 2);
        assert_eq!(left, [9, 7]);
        assert_eq!(cpu.drained(), 2);
        for number in 1..WORDS {
            assert!(state(&array, number).is_some_and(|state| !state.linked));
        }
        // They are still pending: nobody has handled them.
        assert!(state(&array, 9).is_some_and(|state| state.pending));

        // Nothing is left for the CPU when it comes back.
        cpu.consume(&array, |_| count += 1);
        assert_eq!(count, 2);
        assert_eq!(cpu.astray(), 0);
        Ok(())
    }

    #[test]
    fn a_head_that_names_no_word_is_left_alone() -> Result {
        let (cpu, array, mut xen) = (CpuEvents::new(), EventArray::new(), FakeHypervisor::new());
        xen.words.push((4, PENDING | LINKED), GFP_KERNEL)?;
        // Priority 0: a port without a page. Priority 1: port 0. Bits that are no priority.
        let block = [(0, u32::MAX << 16 | 0b111), (2, 70_000), (3, 0), (4, 4)];
        xen.block_words.extend_from_slice(&block, GFP_KERNEL)?;
        cpu.bring_up(PossibleCpu::current(), &mut xen)?;
        array.grow(port(1)?, &mut xen)?;

        let mut last = 0;
        cpu.consume(&array, |port| last = port.number());
        assert_eq!(last, 4);
        assert_eq!(cpu.astray(), 2);
        Ok(())
    }
}

#[kunit_tests(xen_evtchn_fifo_queue)]
mod queue_tests {
    use super::{
        LINKED,
        MASKED,
        PENDING, //
    };
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
        }, //
    };
    use core::sync::atomic::{
        AtomicU32,
        Ordering::Relaxed, //
    };
    use kernel::prelude::*;

    const PORTS: usize = 64;

    /// One vCPU, and who sends it events.
    struct Machine {
        block: [AtomicU32; CONTROL_BLOCK_WORDS],
        words: [AtomicU32; PORTS],
        tails: [AtomicU32; 16],
        queues: Queues,
    }

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

        /// What the hypervisor does, if nothing happens at the same time.
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

        /// Serves the queues. `sends` are sent by the first handlers, one by each.
        fn serve(&self, sends: &[(u32, usize)]) -> Result<KVec<u32>> {
            let mut order = KVec::with_capacity(PORTS, GFP_KERNEL)?;
            self.queues.consume(
                &ControlBlock::new(&self.block),
                |port| self.words.get(port.number() as usize).map(EventWord::new),
                |port: Port| {
                    EventWord::new(self.word(port.number())).clear_pending();
                    if let Some((number, priority)) = sends.get(order.len()) {
                        self.send(*number, *priority);
                    }
                    // There is room for the order of all ports; more would be a failure.
                    let _ = order.push(port.number(), GFP_ATOMIC);
                },
            );
            Ok(order)
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

        // What the hypervisor does then.
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
