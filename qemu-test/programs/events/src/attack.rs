// SPDX-License-Identifier: GPL-2.0

//! Misuse of event channels by a domU: one thread for each of its processors makes the hypercalls
//! of event channels in random order, with ports that are its own and with others, without a pause.
//!
//! ```text
//!   even lanes    closed by the domU, which connects to dom0's port again
//!   odd lanes     closed by dom0, which connects to the domU's port again
//!   all           sent on, without regard to the state of either end
//! ```

use std::io;
use std::thread;
use std::time::Duration;

use guest_test::hypercall::Hypercalls;
use suites::random::Random;
use xen_grants::event_channel::EventChannels;
use xen_grants::DOM0;

use crate::board::Board;
use crate::board::End;
use crate::board::Field;
use crate::board::Misuse;

/// Number of hypercalls that send an event without another one between them.
const BURST: usize = 64;

/// Port numbers that are tried without regard to their state: those of two pages of event words,
/// which are more than a domU may have by xl's default.
const PORTS: usize = 2048;

/// Numbers of virtual interrupts that there can be.
const VIRTUAL_INTERRUPTS: usize = 24;

/// Goes on until `stop` says so. The ports of the lanes may be connected or not after that.
pub fn attack(
    board: Board<'_>,
    channels: &EventChannels,
    misuse: Misuse,
    stop: &(dyn Fn() -> bool + Sync),
) -> io::Result<()> {
    let threads = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let attackers: Vec<_> = (0..threads)
            .map(|index| {
                scope.spawn(move || {
                    let mut attacker = Attacker::new(board, channels, misuse, index, threads)?;
                    while !stop() {
                        attacker.act()?;
                    }
                    attacker.close_all();
                    Ok::<(), io::Error>(())
                })
            })
            .collect();
        attackers
            .into_iter()
            .try_for_each(|attacker| attacker.join().expect("an attacker does not panic"))
    })
}

/// One thread. A hypercall that the hypervisor refuses is as good as another.
struct Attacker<'a> {
    board: Board<'a>,
    channels: &'a EventChannels,
    misuse: Misuse,
    hypercalls: Hypercalls,
    random: Random,
    /// Lanes that only this thread closes.
    own: Vec<usize>,
    /// Ports that the kernel does not know of.
    raw: Vec<u32>,
    /// The port of an event that goes nowhere.
    unconnected: u32,
}

impl<'a> Attacker<'a> {
    fn new(
        board: Board<'a>,
        channels: &'a EventChannels,
        misuse: Misuse,
        index: usize,
        threads: usize,
    ) -> io::Result<Self> {
        let hypercalls = Hypercalls::open()?;
        let unconnected = hypercalls.offer(DOM0 as u16)?;
        let own = (0..board.lanes()).step_by(2);
        Ok(Self {
            board,
            channels,
            misuse,
            hypercalls,
            random: Random::new(u64::from(misuse.seed) + ((index as u64) << 32)),
            own: own.skip(index).step_by(threads).collect(),
            raw: Vec::new(),
            unconnected,
        })
    }

    fn act(&mut self) -> io::Result<()> {
        if self.misuse.harmless {
            return (0..BURST).try_for_each(|_| self.hypercalls.send(self.unconnected));
        }
        match self.random.below(64) {
            0 | 1 => self.bind_again(),
            2 | 3 => self.offer(),
            4 => self.bind_virtual_interrupt(),
            5 => return self.connect_to_victim(),
            6 => {
                let port = self.port_of_lane();
                let _ = self.hypercalls.unmask(port);
            }
            7 => self.receive()?,
            8..16 => {
                for _ in 0..BURST {
                    let _ = self.hypercalls.send(self.random.below(PORTS) as u32);
                }
            }
            _ => {
                for _ in 0..BURST {
                    let port = self.port_of_lane();
                    let _ = self.hypercalls.send(port);
                }
            }
        }
        Ok(())
    }

    /// Any lane's port; it may be closed or be about to be.
    fn port_of_lane(&mut self) -> u32 {
        let lane = self.random.below(self.board.lanes());
        self.board.get(End::Domu, lane, Field::Port)
    }

    /// Closes a port and connects to dom0's end again, if the domain may have another port now.
    fn bind_again(&mut self) {
        if self.own.is_empty() {
            return;
        }
        let lane = self.own[self.random.below(self.own.len())];
        let _ = self
            .channels
            .close(self.board.get(End::Domu, lane, Field::Port));
        let remote = self.board.get(End::Dom0, lane, Field::Port);
        let port = self.channels.connect(DOM0, remote).unwrap_or(0);
        self.board.set(End::Domu, lane, Field::Port, port);
    }

    /// Offers one port more, until the domain may have no other.
    fn offer(&mut self) {
        let domid = [DOM0, self.misuse.victim][self.random.below(2)];
        match self.hypercalls.offer(domid as u16) {
            Ok(port) => self.raw.push(port),
            Err(_) => self.close_raw(),
        }
    }

    fn bind_virtual_interrupt(&mut self) {
        let number = self.random.below(VIRTUAL_INTERRUPTS) as u32;
        let vcpu = self.random.below(8) as u32;
        self.raw.extend(self.hypercalls.bind_virq(number, vcpu));
    }

    /// Guesses a port of another domain, which has offered none.
    fn connect_to_victim(&mut self) -> io::Result<()> {
        let Misuse { victim, .. } = self.misuse;
        let remote = self.random.below(PORTS) as u32;
        match self.hypercalls.connect(victim as u16, remote) {
            Ok(_) => Err(io::Error::other(format!(
                "connected to port {remote} of domain {victim}"
            ))),
            Err(_) => Ok(()),
        }
    }

    /// Takes what dom0 has sent, so that the kernel lets more events through.
    fn receive(&self) -> io::Result<()> {
        let mut taken = Vec::new();
        match self.channels.take(&mut taken, Duration::ZERO) {
            // Ports that are closed and bound again may have more events than the device keeps.
            Err(xen_grants::Error::LostEvents) => return Ok(()),
            result => result?,
        }
        Ok(self.channels.unmask(&taken)?)
    }

    fn close_raw(&mut self) {
        for port in self.raw.drain(..) {
            let _ = self.hypercalls.close(port);
        }
    }

    fn close_all(&mut self) {
        self.raw.push(self.unconnected);
        self.close_raw();
    }
}
