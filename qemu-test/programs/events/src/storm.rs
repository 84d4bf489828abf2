// SPDX-License-Identifier: GPL-2.0

//! One end of the lanes: sends events, receives those of the other end, and keeps the board.
//!
//! The device coalesces: a port whose event was taken is masked until its user writes it back, and
//! events that come while one is pending are one. So the sender keeps to bursts. A burst is one
//! event or several in a row; before the last of them the sender posts the burst's number on the
//! board. The receiver of an event reads that number and writes that it has seen it, then unmasks
//! the port. The next burst of the lane begins when the sender finds its last one seen. From this
//! follows, for each lane and direction:
//!
//! * where all bursts are of one event, each is received exactly once;
//! * of each longer burst at least one event is received, because its number can
//!   only be seen by one that came after the burst before it was seen. Its last
//!   event may meet the unmasking of one before it, anywhere on the way. If that
//!   loses it, the number stays unseen, unless one before it was received so late
//!   that it has seen the number already;
//! * no more events are received than were sent.

use std::collections::HashMap;
use std::io;
use std::thread;
use std::time::Duration;

use suites::random::Random;
use xen_grants::event_channel::EventChannels;

use crate::board::Board;
use crate::board::End;
use crate::board::Field;
use crate::board::Plan;

/// Time for which a receiver waits that has nothing else to do, before it looks at the board again.
pub const NAP: Duration = Duration::from_millis(20);

/// Lanes that a sender tries before it lets the receiver have its turn.
const TRIES: usize = 64;

/// The lane of each of an end's ports.
pub type Lanes = HashMap<u32, usize>;

/// One end of the lanes.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The shared memory.
    pub board: Board<'a>,
    /// End of the lanes that this is.
    pub end: End,
    /// The file that its ports belong to.
    pub channels: &'a EventChannels,
    /// Its ports.
    pub lanes: &'a Lanes,
}

impl<'a> Side<'a> {
    /// Its receiving half; there is one at a time.
    pub fn receiver(self) -> Receiver<'a> {
        let received = (0..self.board.lanes())
            .map(|lane| self.board.get(self.end, lane, Field::Order))
            .max()
            .unwrap_or(0);
        Receiver {
            side: self,
            taken: Vec::new(),
            received,
        }
    }

    /// Its sending half; there is one at a time.
    pub fn sender(self, seed: u32, longest_burst: u32) -> Sender<'a> {
        // Both ends have the same seed, but shall not do the same.
        let salt = match self.end {
            End::Dom0 => 0,
            End::Domu => 1 << 40,
        };
        Sender {
            side: self,
            random: Random::new(u64::from(seed) + salt),
            longest_burst: longest_burst as usize,
        }
    }

    /// Sends one event on each lane, in random order; receives in between.
    pub fn walk(self, seed: u32) -> io::Result<()> {
        let mut receiver = self.receiver();
        let mut sender = self.sender(seed, 1);
        for lanes in sender.shuffled_lanes().chunks(TRIES) {
            for lane in lanes {
                sender.burst(*lane, 1)?;
            }
            receiver.receive(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Sends one event on each lane, in random order, and sleeps for `pause` after each.
    pub fn trickle(self, seed: u32, pause: Duration) -> io::Result<()> {
        let mut sender = self.sender(seed, 1);
        for lane in sender.shuffled_lanes() {
            sender.burst(lane, 1)?;
            thread::sleep(pause);
        }
        Ok(())
    }

    /// Sends bursts on random lanes and receives, until `stop` says so.
    pub fn storm(self, plan: Plan, stop: &(dyn Fn() -> bool + Sync)) -> io::Result<()> {
        let mut receiver = self.receiver();
        let mut sender = self.sender(plan.seed, plan.longest_burst);
        if plan.threads {
            return thread::scope(|scope| {
                let sending = scope.spawn(move || {
                    while !stop() {
                        if sender.send()? == 0 {
                            thread::yield_now();
                        }
                    }
                    Ok::<(), io::Error>(())
                });
                let mut result = Ok(());
                while result.is_ok() && !stop() {
                    result = receiver.receive(NAP).map(drop);
                }
                sending.join().expect("sending does not panic").and(result)
            });
        }
        while !stop() {
            let sent = sender.send()?;
            // An end that has nothing to send waits for answers, which are no events. The time is
            // short: the other end may be waiting in the same way.
            let limit = Duration::from_millis((sent == 0).into());
            receiver.receive(limit)?;
        }
        Ok(())
    }
}

/// Receives events.
#[derive(Debug)]
pub struct Receiver<'a> {
    side: Side<'a>,
    taken: Vec<u32>,
    received: u32,
}

impl Receiver<'_> {
    /// Receives what is there, or comes within `limit`; says how many.
    pub fn receive(&mut self, limit: Duration) -> io::Result<usize> {
        let Side {
            board,
            end,
            channels,
            lanes,
        } = self.side;
        channels.take(&mut self.taken, limit)?;
        for port in &self.taken {
            let lane = *lanes.get(port).ok_or_else(|| {
                io::Error::other(format!("an event on port {port}, which nobody opened"))
            })?;
            self.received += 1;
            board.set(end, lane, Field::Order, self.received);
            let delivered = board.get(end, lane, Field::Delivered);
            board.set(end, lane, Field::Delivered, delivered + 1);
            let posted = board.get(end.other(), lane, Field::Posted);
            board.set(end, lane, Field::Seen, posted);
        }
        channels.unmask(&self.taken)?;
        Ok(self.taken.len())
    }
}

/// Sends events.
pub struct Sender<'a> {
    side: Side<'a>,
    random: Random,
    longest_burst: usize,
}

impl Sender<'_> {
    /// Sends bursts on some of the lanes whose last burst was seen; says on how many.
    fn send(&mut self) -> io::Result<usize> {
        let board = self.side.board;
        let mut sent = 0;
        for _ in 0..TRIES {
            let lane = self.random.below(board.lanes());
            if !board.is_answered(self.side.end, lane) {
                continue;
            }
            // Half of them are events alone, which are counted exactly.
            let length = match self.random.below(2) {
                0 => 1,
                _ => 1 + self.random.below(self.longest_burst),
            };
            self.burst(lane, length)?;
            sent += 1;
        }
        Ok(sent)
    }

    /// All lanes, in random order.
    fn shuffled_lanes(&mut self) -> Vec<usize> {
        let mut lanes: Vec<usize> = (0..self.side.board.lanes()).collect();
        self.random.shuffle(&mut lanes);
        lanes
    }

    /// Sends `length` events on `lane`.
    fn burst(&self, lane: usize, length: usize) -> io::Result<()> {
        let Side {
            board,
            end,
            channels,
            ..
        } = self.side;
        let port = board.get(end, lane, Field::Port);
        let notified = board.get(end, lane, Field::Notified);
        board.set(end, lane, Field::Notified, notified + length as u32);
        for _ in 1..length {
            channels.notify(port)?;
        }
        let posted = board.get(end, lane, Field::Posted);
        board.set(end, lane, Field::Posted, posted + 1);
        Ok(channels.notify(port)?)
    }

    /// Counts an event on `lane` that is not sent: to the receiver it is lost.
    pub fn lose_one(&self, lane: usize) {
        let Side { board, end, .. } = self.side;
        for field in [Field::Notified, Field::Posted] {
            board.set(end, lane, field, board.get(end, lane, field) + 1);
        }
    }

    /// Sends an event on `lane` that is not counted: to the receiver nobody has sent it.
    pub fn invent_one(&self, lane: usize) -> io::Result<()> {
        let Side {
            board,
            end,
            channels,
            ..
        } = self.side;
        Ok(channels.notify(board.get(end, lane, Field::Port))?)
    }

    /// Sends one event on `lane`.
    pub fn one(&self, lane: usize) -> io::Result<()> {
        self.burst(lane, 1)
    }
}
