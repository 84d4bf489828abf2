// SPDX-License-Identifier: GPL-2.0

//! Memory that both ends share: dom0's orders, and for each lane the counts of events that were
//! sent and received.
//!
//! ```text
//! page 0             the order, written by dom0; the answer, by the domU
//! 64 bytes a lane    8 words that dom0 writes, 8 words that the domU writes
//! ```
//!
//! Every word has one writer, so none needs more than loads and stores. These are sequentially
//! consistent: an end that has received an event sees all that the other end had written before it
//! sent that.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use xen_grants::bytes::Bytes;
use xen_grants::PAGE_SIZE;

/// One of the two domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The domain that runs the suite.
    Dom0,
    /// The domain that runs `event-peer`.
    Domu,
}

impl End {
    /// Both, in the order of the table.
    pub const BOTH: [Self; 2] = [Self::Dom0, Self::Domu];

    /// The one at the other end of the lanes.
    pub fn other(self) -> Self {
        match self {
            Self::Dom0 => Self::Domu,
            Self::Domu => Self::Dom0,
        }
    }
}

/// Words that an end writes for each lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Its port.
    Port,
    /// The number of its last burst of events.
    Posted,
    /// Number of events that it has sent.
    Notified,
    /// The number of the other end's burst that it saw at its last event.
    Seen,
    /// Number of events that it has received.
    Delivered,
    /// Number of events that it had received on all lanes with the last one here.
    Order,
}

/// Order to the domU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Receive.
    Rest,
    /// Send one event on every lane, in an order that the seed gives, and receive.
    Walk {
        /// Of the random order.
        seed: u32,
    },
    /// Send one event on every lane, in an order that the seed gives, and pause after each; then
    /// receive.
    Trickle {
        /// Of the random order.
        seed: u32,
        /// Whole milliseconds.
        pause: Duration,
    },
    /// Send all the time, and receive.
    Storm(Plan),
    /// Give each lane's port the priority that [`priority_of`] tells.
    Prioritize,
    /// Send each event back, until the next order.
    Echo,
    /// Misuse event channels in each way that the hypervisor offers, until the next order.
    Attack(Misuse),
    /// Do nothing any more, and keep everything open.
    Freeze,
    /// Close everything and end.
    Leave,
}

/// Course of a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of the random order, and of the lengths of bursts.
    pub seed: u32,
    /// The most events that follow each other on a lane without an answer.
    pub longest_burst: u32,
    /// One thread sends while another receives.
    pub threads: bool,
}

/// Course of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misuse {
    /// Of the random acts.
    pub seed: u32,
    /// A domain whose ports are tried as well.
    pub victim: u32,
    /// Hypercalls are made as often, but no event comes of them.
    pub harmless: bool,
}

/// Priorities of the ABI.
pub const PRIORITIES: u32 = 16;

/// The priority of a lane's ports after [`Command::Prioritize`].
pub fn priority_of(lane: usize) -> u32 {
    lane as u32 % PRIORITIES
}

const WORD: usize = size_of::<AtomicU32>();
const LANE: usize = 16 * WORD;
/// First of the domU's words, in the order's page and in each lane.
const DOMU_WORDS: usize = 8;

/// Words of the order that dom0 writes.
const NUMBER: usize = 0;
const KIND: usize = 1;
const SEED: usize = 2;
const LONGEST_BURST: usize = 3;
const THREADS: usize = 4;
const PAUSE: usize = 5;
const VICTIM: usize = 6;
/// Words about it that the domU writes.
const FULFILLED: usize = DOMU_WORDS;
const FAILED: usize = DOMU_WORDS + 1;

/// The shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Board<'a> {
    bytes: &'a Bytes,
    lanes: usize,
}

impl<'a> Board<'a> {
    /// Pages that a board for so many lanes takes.
    pub fn pages(lanes: usize) -> usize {
        1 + (lanes * LANE).div_ceil(PAGE_SIZE)
    }

    /// The one in `bytes`, which were zeroes when the first end saw them.
    pub fn new(bytes: &'a Bytes, lanes: usize) -> Self {
        assert!(bytes.pages() >= Self::pages(lanes));
        Self { bytes, lanes }
    }

    /// Number of lanes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Value that `end` last wrote to `field` of `lane`.
    pub fn get(&self, end: End, lane: usize, field: Field) -> u32 {
        self.lane_word(end, lane, field).load(SeqCst)
    }

    /// Writes to a field; only the end itself does.
    pub fn set(&self, end: End, lane: usize, field: Field, value: u32) {
        self.lane_word(end, lane, field).store(value, SeqCst);
    }

    /// True if the other end has seen the last burst that `end` sent on `lane`.
    pub fn is_answered(&self, end: End, lane: usize) -> bool {
        self.get(end.other(), lane, Field::Seen) == self.get(end, lane, Field::Posted)
    }

    /// Dom0 gives an order; its number is returned.
    pub fn order(&self, command: Command) -> u32 {
        let (kind, plan) = match command {
            Command::Rest => (0, None),
            Command::Walk { seed } => (1, Some((seed, 0, false))),
            Command::Storm(plan) => (2, Some((plan.seed, plan.longest_burst, plan.threads))),
            Command::Prioritize => (3, None),
            Command::Freeze => (4, None),
            Command::Leave => (5, None),
            Command::Trickle { seed, .. } => (6, Some((seed, 1, false))),
            Command::Echo => (7, None),
            Command::Attack(Misuse { seed, harmless, .. }) => (8, Some((seed, 0, harmless))),
        };
        let (seed, longest_burst, threads) = plan.unwrap_or_default();
        if let Command::Trickle { pause, .. } = command {
            self.word(PAUSE).store(pause.as_millis() as u32, SeqCst);
        }
        if let Command::Attack(Misuse { victim, .. }) = command {
            self.word(VICTIM).store(victim, SeqCst);
        }
        self.word(KIND).store(kind, SeqCst);
        self.word(SEED).store(seed, SeqCst);
        self.word(LONGEST_BURST).store(longest_burst, SeqCst);
        self.word(THREADS).store(threads.into(), SeqCst);
        let number = self.ordered() + 1;
        self.word(NUMBER).store(number, SeqCst);
        number
    }

    /// The number of the last order. Dom0 gives no other before this one is fulfilled, so the domU
    /// never reads parts of two.
    pub fn ordered(&self) -> u32 {
        self.word(NUMBER).load(SeqCst)
    }

    /// The last order.
    pub fn command(&self) -> Option<Command> {
        let seed = self.word(SEED).load(SeqCst);
        Some(match self.word(KIND).load(SeqCst) {
            0 => Command::Rest,
            1 => Command::Walk { seed },
            2 => Command::Storm(Plan {
                seed,
                longest_burst: self.word(LONGEST_BURST).load(SeqCst),
                threads: self.word(THREADS).load(SeqCst) != 0,
            }),
            3 => Command::Prioritize,
            4 => Command::Freeze,
            5 => Command::Leave,
            6 => Command::Trickle {
                seed,
                pause: Duration::from_millis(self.word(PAUSE).load(SeqCst).into()),
            },
            7 => Command::Echo,
            8 => Command::Attack(Misuse {
                seed,
                victim: self.word(VICTIM).load(SeqCst),
                harmless: self.word(THREADS).load(SeqCst) != 0,
            }),
            _ => return None,
        })
    }

    /// The domU has begun to obey order `number`, or has done so if that takes no time.
    pub fn fulfil(&self, number: u32) {
        self.word(FULFILLED).store(number, SeqCst);
    }

    /// The number of the last order that was fulfilled.
    pub fn fulfilled(&self) -> u32 {
        self.word(FULFILLED).load(SeqCst)
    }

    /// The domU cannot go on.
    pub fn fail(&self) {
        self.word(FAILED).store(1, SeqCst);
    }

    /// True if the domU cannot go on.
    pub fn has_failed(&self) -> bool {
        self.word(FAILED).load(SeqCst) != 0
    }

    fn word(&self, number: usize) -> &AtomicU32 {
        self.bytes.word(number * WORD)
    }

    fn lane_word(&self, end: End, lane: usize, field: Field) -> &AtomicU32 {
        assert!(lane < self.lanes, "lane {lane} of {}", self.lanes);
        let half = match end {
            End::Dom0 => 0,
            End::Domu => DOMU_WORDS,
        };
        self.bytes
            .word(PAGE_SIZE + lane * LANE + (half + field as usize) * WORD)
    }
}

#[cfg(test)]
mod tests {
    use guest_test::mapping;

    use super::*;

    #[test]
    fn orders_survive_the_journey() {
        let memory = mapping::shared(Board::pages(1)).unwrap();
        let board = Board::new(&memory, 1);
        let plan = Plan {
            seed: 7,
            longest_burst: 3,
            threads: true,
        };
        let commands = [
            Command::Rest,
            Command::Walk { seed: u32::MAX },
            Command::Storm(plan),
            Command::Prioritize,
            Command::Freeze,
            Command::Leave,
            Command::Trickle {
                seed: 8,
                pause: Duration::from_millis(9),
            },
            Command::Echo,
            Command::Attack(Misuse {
                seed: 10,
                victim: 11,
                harmless: true,
            }),
        ];
        for (number, command) in (1..).zip(commands) {
            assert_eq!(board.order(command), number);
            assert_eq!((board.ordered(), board.command()), (number, Some(command)));
        }
    }

    #[test]
    fn every_field_of_every_lane_is_a_word_of_its_own() {
        let lanes = 65;
        let memory = mapping::shared(Board::pages(lanes)).unwrap();
        let board = Board::new(&memory, lanes);
        let fields = [
            Field::Port,
            Field::Posted,
            Field::Notified,
            Field::Seen,
            Field::Delivered,
            Field::Order,
        ];
        let all = || {
            End::BOTH.into_iter().flat_map(move |end| {
                (0..lanes)
                    .flat_map(move |lane| fields.into_iter().map(move |field| (end, lane, field)))
            })
        };
        for (value, (end, lane, field)) in (1..).zip(all()) {
            board.set(end, lane, field, value);
        }
        for (value, (end, lane, field)) in (1..).zip(all()) {
            assert_eq!(board.get(end, lane, field), value);
        }
        assert_eq!(board.ordered(), 0);
        assert_eq!(board.fulfilled(), 0);
    }
}
