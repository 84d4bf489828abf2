// SPDX-License-Identifier: GPL-2.0

//! The end in the domU: offers the ports and does what dom0 orders.

use std::collections::HashSet;
use std::io;
use std::thread;
use std::time::Duration;

use guest_test::hypercall::Hypercalls;
use suites::local::raise_page_limit;
use suites::protocol;
use xen_grants::event_channel::EventChannels;
use xen_grants::grant_share::Access;
use xen_grants::grant_share::GrantShare;
use xen_grants::grant_share::SharedPages;
use xen_grants::xenstore::Xenstore;
use xen_grants::DOM0;

use crate::arrivals::ARRIVAL_LIMIT;
use crate::attack;
use crate::board::priority_of;
use crate::board::Board;
use crate::board::Command;
use crate::board::End;
use crate::board::Field;
use crate::board::Misuse;
use crate::round_trip;
use crate::storm::Lanes;
use crate::storm::Side;
use crate::storm::NAP;

/// Node of xenstore to which the domU writes the grants of the board, or [`FAILED`] and the reason.
/// `token` is the one that dom0 started this peer with.
pub fn node(token: &str) -> String {
    format!("data/event-peer/{token}")
}

/// Word of a peer that cannot begin.
pub const FAILED: &str = "failed: ";

/// Offers `count` ports to dom0 and serves it until it says [`Command::Leave`].
pub fn serve(count: usize, token: &str) -> io::Result<()> {
    let store = Xenstore::open()?;
    let open = || -> io::Result<_> {
        let pages = share(count)?;
        let ports = Ports::offer(&Board::new(&pages, count))?;
        Ok((pages, ports))
    };
    let (pages, mut ports) = match open() {
        Ok(opened) => opened,
        Err(error) => {
            store.write(&node(token), &format!("{FAILED}{error}"))?;
            return Err(error);
        }
    };
    store.write(&node(token), &protocol::ranges(pages.references()))?;

    let board = Board::new(&pages, count);
    obey(board, &mut ports).inspect_err(|_| board.fail())
}

fn share(count: usize) -> io::Result<SharedPages> {
    raise_page_limit()?;
    Ok(GrantShare::open()?.share(DOM0, Board::pages(count), Access::ReadWrite)?)
}

/// The domU's ports.
struct Ports {
    channels: EventChannels,
    lanes: Lanes,
}

impl Ports {
    /// Offers a port for each lane to dom0.
    fn offer(board: &Board<'_>) -> io::Result<Self> {
        Self::open(board, |channels, _| channels.offer(DOM0))
    }

    /// Connects a port to dom0's port of each lane.
    fn connect(board: &Board<'_>) -> io::Result<Self> {
        let ports = Self::open(board, |channels, lane| {
            channels.connect(DOM0, board.get(End::Dom0, lane, Field::Port))
        })?;
        // Each has an event as soon as it is connected.
        let mut missing: HashSet<u32> = ports.lanes.keys().copied().collect();
        let mut taken = Vec::new();
        while !missing.is_empty() {
            ports.channels.take(&mut taken, ARRIVAL_LIMIT)?;
            if taken.is_empty() {
                let message = format!("{} ports had no event when connected", missing.len());
                return Err(io::Error::other(message));
            }
            for port in &taken {
                missing.remove(port);
            }
            ports.channels.unmask(&taken)?;
        }
        Ok(ports)
    }

    fn open(
        board: &Board<'_>,
        open: impl Fn(&EventChannels, usize) -> xen_grants::Result<u32>,
    ) -> io::Result<Self> {
        let channels = EventChannels::open()?;
        let mut lanes = Lanes::new();
        for lane in 0..board.lanes() {
            let port = open(&channels, lane).map_err(|error| {
                io::Error::other(format!("port {lane} of {}: {error}", board.lanes()))
            })?;
            board.set(End::Domu, lane, Field::Port, port);
            lanes.insert(port, lane);
        }
        Ok(Self { channels, lanes })
    }

    fn side<'a>(&'a self, board: Board<'a>) -> Side<'a> {
        Side {
            board,
            end: End::Domu,
            channels: &self.channels,
            lanes: &self.lanes,
        }
    }

    /// Misuses the ports until `stop` says so, closes all of them and connects others.
    fn attack(
        &mut self,
        board: Board<'_>,
        misuse: Misuse,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> io::Result<()> {
        attack::attack(board, &self.channels, misuse, stop)?;
        // The file may have lost events. Dropping it closes its ports.
        self.channels = EventChannels::open()?;
        *self = Self::connect(&board)?;
        Ok(())
    }
}

fn obey(board: Board<'_>, ports: &mut Ports) -> io::Result<()> {
    let mut done = 0;
    loop {
        let side = ports.side(board);
        let number = board.ordered();
        if number == done {
            side.receiver().receive(NAP)?;
            continue;
        }
        done = number;
        let command = board
            .command()
            .ok_or_else(|| io::Error::other("dom0's order is none"))?;
        match command {
            Command::Rest => board.fulfil(number),
            Command::Walk { seed } => {
                side.walk(seed)?;
                board.fulfil(number);
            }
            Command::Trickle { seed, pause } => {
                board.fulfil(number);
                side.trickle(seed, pause)?;
            }
            Command::Storm(plan) => {
                board.fulfil(number);
                side.storm(plan, &|| board.ordered() != number)?;
            }
            Command::Prioritize => {
                prioritize(&board, End::Domu)?;
                board.fulfil(number);
            }
            Command::Echo => {
                board.fulfil(number);
                round_trip::echo(side, || board.ordered() != number)?;
            }
            Command::Attack(misuse) => {
                board.fulfil(number);
                ports.attack(board, misuse, &|| board.ordered() != number)?;
            }
            Command::Freeze => {
                board.fulfil(number);
                loop {
                    thread::sleep(Duration::from_secs(3600));
                }
            }
            Command::Leave => {
                board.fulfil(number);
                return Ok(());
            }
        }
    }
}

/// Gives the ports of `end`, which is this one, the priorities of their lanes.
pub fn prioritize(board: &Board<'_>, end: End) -> io::Result<()> {
    let hypercalls = Hypercalls::open()?;
    for lane in 0..board.lanes() {
        let port = board.get(end, lane, Field::Port);
        hypercalls.set_priority(port, priority_of(lane))?;
    }
    Ok(())
}
