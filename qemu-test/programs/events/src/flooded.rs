// SPDX-License-Identifier: GPL-2.0

//! A driver in dom0 whose ports a domU misuses, see `attack.rs`. It receives all that comes, sends
//! events back, and now and then closes a port and connects again.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use clients::limit::PATIENCE;
use suites::random::Random;
use xen_grants::event_channel::EventChannels;

use crate::board::Board;
use crate::board::Command;
use crate::board::End;
use crate::board::Field;
use crate::board::Misuse;
use crate::storm::Lanes;
use crate::storm::NAP;

/// Name of the thread that opens the driver's device.
const NAME: &str = "flooded";

/// One event of so many is sent back.
const SHARE_SENT_BACK: u64 = 4;

/// The silence after which no event is on its way. The kernel puts off the unmasking of ports that
/// keep a processor busy, by less than this.
const SILENCE: Duration = Duration::from_secs(1);

/// Opens the device of such a driver. The kernel names the interrupts of the ports after the thread
/// that does this, so they are not among those that `hotplug.rs` moves, which have to stay.
pub(crate) fn open_channels() -> io::Result<EventChannels> {
    let opening = thread::Builder::new()
        .name(NAME.into())
        .spawn(EventChannels::open)?;
    Ok(opening.join().expect("opening does not panic")?)
}

/// Work of a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Events that were received.
    pub events: u64,
    /// Ports that were closed and connected again.
    pub bound_again: u64,
    /// Ports that were closed and could not be connected again.
    pub refused: u64,
}

/// Dom0's ends of the lanes to an attacker.
#[derive(Debug)]
pub struct Flooded<'a> {
    domid: u32,
    board: Board<'a>,
    channels: &'a EventChannels,
    lanes: &'a mut Lanes,
}

impl<'a> Flooded<'a> {
    pub(crate) fn new(
        domid: u32,
        board: Board<'a>,
        channels: &'a EventChannels,
        lanes: &'a mut Lanes,
    ) -> Self {
        Self {
            domid,
            board,
            channels,
            lanes,
        }
    }

    /// Orders the attack and serves the attacker while `work` is done, which is told how many
    /// events were received. The attack goes on after that.
    pub fn serve_while<T>(
        &mut self,
        misuse: Misuse,
        work: impl FnOnce(&AtomicU64) -> io::Result<T>,
    ) -> io::Result<(Served, T)> {
        let done = AtomicBool::new(false);
        let received = AtomicU64::new(0);
        thread::scope(|scope| {
            let serving = scope.spawn(|| {
                self.serve(misuse, &|served| {
                    received.store(served.events, SeqCst);
                    done.load(SeqCst)
                })
            });
            let worked = work(&received);
            done.store(true, SeqCst);
            let served = serving.join().expect("serving does not panic")?;
            Ok((served, worked?))
        })
    }

    /// Orders the attack and serves the attacker until `stop` says so, which is told what was done.
    fn serve(&mut self, misuse: Misuse, stop: &dyn Fn(&Served) -> bool) -> io::Result<Served> {
        self.board.order(Command::Attack(misuse));
        let mut random = Random::new(misuse.seed.into());
        let mut served = Served::default();
        let mut taken = Vec::new();
        while !stop(&served) {
            self.channels.take(&mut taken, NAP)?;
            for port in &taken {
                served.events += 1;
                // The device may tell of a port that was closed meanwhile.
                if served.events % SHARE_SENT_BACK == 0 && self.lanes.contains_key(port) {
                    self.channels.notify(*port)?;
                }
            }
            self.channels.unmask(&taken)?;
            if !misuse.harmless {
                self.bind_again(1 + 2 * random.below(self.board.lanes() / 2), &mut served)?;
            }
        }
        Ok(served)
    }

    fn bind_again(&mut self, lane: usize, served: &mut Served) -> io::Result<()> {
        let port = self.board.get(End::Dom0, lane, Field::Port);
        if self.lanes.remove(&port).is_none() {
            return Ok(());
        }
        self.channels.close(port)?;
        let remote = self.board.get(End::Domu, lane, Field::Port);
        match self.channels.connect(self.domid, remote) {
            Ok(port) => {
                served.bound_again += 1;
                self.lanes.insert(port, lane);
                self.board.set(End::Dom0, lane, Field::Port, port);
            }
            Err(_) => served.refused += 1,
        }
        Ok(())
    }

    /// Orders the end of the attack, and receives until no event is on its way any more. All lanes
    /// are connected then, and all counts are as they were before the attack.
    pub fn finish(&mut self) -> io::Result<()> {
        let number = self.board.order(Command::Rest);
        let begin = Instant::now();
        while self.board.fulfilled() != number {
            if self.board.has_failed() {
                return Err(io::Error::other("the attacker has failed"));
            }
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other("the attacker does not answer"));
            }
            self.receive(NAP)?;
        }
        while self.receive(SILENCE)? > 0 {}
        Ok(())
    }

    fn receive(&mut self, limit: Duration) -> io::Result<usize> {
        let mut taken = Vec::new();
        self.channels.take(&mut taken, limit)?;
        self.channels.unmask(&taken)?;
        Ok(taken.len())
    }
}
