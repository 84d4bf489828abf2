// SPDX-License-Identifier: GPL-2.0

//! The lanes between dom0 and a domU, from dom0's side.

use std::io;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use clients::agent::Agent;
use clients::limit::PATIENCE;
use guest_test::gntdev::Gntdev;
use suites::granter::grants_of;
use suites::protocol;
use suites::remote::RemoteGranter;
use xen_grants::event_channel::EventChannels;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::xenstore::Xenstore;

use crate::arrivals::Arrivals;
use crate::arrivals::ARRIVAL_LIMIT;
use crate::board::Board;
use crate::board::Command;
use crate::board::End;
use crate::board::Field;
use crate::board::Plan;
use crate::flooded;
use crate::flooded::Flooded;
use crate::peer;
use crate::storm::Lanes;
use crate::storm::Receiver;
use crate::storm::Side;
use crate::storm::NAP;
use crate::tally;
use crate::tally::Rule;

/// The silence that ends the wait for events that nobody sent.
const SILENCE: Duration = Duration::from_millis(200);

/// Ports of dom0 that are connected with those of a peer in a domU. A forked process has them too,
/// but not the memory that both ends share: that is mapped by a [`Link`].
pub struct Connection {
    domid: u32,
    /// Grants of the shared memory.
    references: Vec<u32>,
    channels: EventChannels,
    lanes: Lanes,
}

/// Both ends of a connection at work. Dropping the one that opened the connection has the peer
/// close its ends; dom0 closes its own with the connection.
pub struct Link {
    connection: Rc<Connection>,
    agent: Agent,
    mapping: Mapping,
    _device: Gntdev,
    closes: bool,
}

impl Link {
    /// Connects `count` ports with the domU that the harness started. A peer whose suite was killed
    /// is ended first.
    pub fn to_domu(count: usize) -> io::Result<Self> {
        let domid = RemoteGranter::domid_of_domu()?;
        let channels = EventChannels::open()?;
        Self::start(domid, count, "killall -q event-peer; ", channels)
    }

    /// Connects `count` ports with domain `domid`, in which an agent runs.
    pub fn open(domid: u32, count: usize) -> io::Result<Self> {
        Self::start(domid, count, "", EventChannels::open()?)
    }

    /// As [`Self::open`], for ports that the domain is to misuse.
    pub fn to_attacker(domid: u32, count: usize) -> io::Result<Self> {
        Self::start(domid, count, "", flooded::open_channels()?)
    }

    /// Dom0's ends, for the driver of an attacker's ports. They may not be in use elsewhere.
    pub fn flooded(&mut self) -> io::Result<Flooded<'_>> {
        let connection = Rc::get_mut(&mut self.connection)
            .ok_or_else(|| io::Error::other("another link has these ports"))?;
        let board = Board::new(&self.mapping, connection.lanes.len());
        let Connection {
            domid,
            channels,
            lanes,
            ..
        } = connection;
        Ok(Flooded::new(*domid, board, channels, lanes))
    }

    /// Leaves the peer alone, which may be dead.
    pub fn abandon(mut self) {
        self.closes = false;
    }

    /// Goes on with ports that are connected already, after another link. Their counts go on too,
    /// so this fails if an event is missing.
    pub fn over(connection: &Rc<Connection>) -> io::Result<Self> {
        let (device, mapping) = map(connection.domid, &connection.references)?;
        let link = Self {
            connection: Rc::clone(connection),
            agent: Agent::of(connection.domid)?,
            mapping,
            _device: device,
            closes: false,
        };
        match link.is_answered() {
            true => Ok(link),
            false => Err(io::Error::other("an earlier rule has lost events")),
        }
    }

    /// Leaves the ports connected, for [`Self::over`].
    pub fn keep(mut self) -> Rc<Connection> {
        self.closes = false;
        Rc::clone(&self.connection)
    }

    /// Has the peer close its ends when the link is dropped.
    pub fn close(mut self) {
        self.closes = true;
    }

    /// Runs the shell commands `before`, and then the peer, in domain `domid`, and connects to it
    /// by `channels`.
    fn start(domid: u32, count: usize, before: &str, channels: EventChannels) -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let token = format!("{:x}", now.map_or(0, |time| time.as_nanos()));
        let agent = Agent::of(domid)?;
        agent.run(&format!(
            "{before}event-peer {count} {token} </dev/null >/dev/console 2>&1 &"
        ))?;
        let path = format!("/local/domain/{domid}/{}", peer::node(&token));
        let references = Xenstore::open()?.wait_for(&path, PATIENCE, |text| {
            let failed = text.starts_with(peer::FAILED);
            let references = match failed {
                true => Err(format!("the domU's end {text}")),
                false => protocol::references(text),
            };
            Some(references.map_err(io::Error::other))
        })??;

        let (device, mapping) = map(domid, &references)?;
        let board = Board::new(&mapping, count);
        let mut lanes = Lanes::new();
        for lane in 0..count {
            let port = channels.connect(domid, board.get(End::Domu, lane, Field::Port))?;
            board.set(End::Dom0, lane, Field::Port, port);
            lanes.insert(port, lane);
        }
        let link = Self {
            connection: Rc::new(Connection {
                domid,
                references,
                channels,
                lanes,
            }),
            agent,
            mapping,
            _device: device,
            closes: true,
        };
        link.take_first_events()?;
        Ok(link)
    }

    /// A port that connects has an event at once, because the other end may have sent one before.
    /// Each comes exactly once; the counts begin after them.
    fn take_first_events(&self) -> io::Result<()> {
        let board = self.board();
        let mut receiver = self.side().receiver();
        let first = |lane| board.get(End::Dom0, lane, Field::Delivered);
        let all = || (0..board.lanes()).all(|lane| first(lane) != 0);
        while !all() && receiver.receive(ARRIVAL_LIMIT)? > 0 {}
        while receiver.receive(SILENCE)? > 0 {}
        for lane in 0..board.lanes() {
            let events = first(lane);
            if events != 1 {
                let port = board.get(End::Dom0, lane, Field::Port);
                let message = format!("port {port} had {events} events when it was connected");
                return Err(io::Error::other(message));
            }
            board.set(End::Dom0, lane, Field::Delivered, 0);
        }
        Ok(())
    }

    /// The agent beside the peer.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The peer's domain.
    pub fn domid(&self) -> u32 {
        self.connection.domid
    }

    /// The memory that both ends share.
    pub fn board(&self) -> Board<'_> {
        Board::new(&self.mapping, self.connection.lanes.len())
    }

    /// Dom0's end.
    pub fn side(&self) -> Side<'_> {
        Side {
            board: self.board(),
            end: End::Dom0,
            channels: &self.connection.channels,
            lanes: &self.connection.lanes,
        }
    }

    /// Each end sends one event on every lane, in random order; all are received.
    pub fn walk(&self, seed: u32) -> io::Result<()> {
        let number = self.board().order(Command::Walk { seed });
        self.side().walk(seed)?;
        self.wait_fulfilled(number)?;
        self.settle()
    }

    /// One end sends one event on every lane. None need arrive.
    pub fn send_from(&self, end: End, seed: u32) -> io::Result<()> {
        match end {
            End::Dom0 => self.side().walk(seed),
            End::Domu => self.obtain(Command::Walk { seed }),
        }
    }

    /// The peer sends one event on every lane with a `pause` after each, while dom0 does `work` and
    /// receives nothing; then all are received. Returns the result of `work`.
    pub fn trickle_while<T>(
        &self,
        seed: u32,
        pause: Duration,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.obtain(Command::Trickle { seed, pause })?;
        let result = work()?;
        self.obtain(Command::Rest)?;
        self.settle()?;
        Ok(result)
    }

    /// Both ends send until `stop` says so; all is received.
    pub fn storm(&self, plan: Plan, stop: &(dyn Fn() -> bool + Sync)) -> io::Result<()> {
        self.obtain(Command::Storm(plan))?;
        let board = self.board();
        self.side().storm(plan, &|| stop() || board.has_failed())?;
        self.obtain(Command::Rest)?;
        self.settle()
    }

    /// As [`Self::storm`], for `duration`.
    pub fn storm_for(&self, plan: Plan, duration: Duration) -> io::Result<()> {
        let end = Instant::now() + duration;
        self.storm(plan, &|| Instant::now() >= end)
    }

    /// As [`Self::storm`], until `work` is done in another thread; returns its result.
    pub fn storm_while<T: Send>(
        &self,
        plan: Plan,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let working = scope.spawn(|| {
                let result = work();
                done.store(true, Ordering::SeqCst);
                result
            });
            let stormed = self.storm(plan, &|| done.load(Ordering::SeqCst));
            let worked = working.join().expect("the work does not panic");
            stormed.and(worked)
        })
    }

    /// Gives the ports of both ends the priorities of their lanes.
    pub fn prioritize(&self) -> io::Result<()> {
        self.obtain(Command::Prioritize)?;
        peer::prioritize(&self.board(), End::Dom0)
    }

    /// Has the peer do nothing any more, not even close its ports.
    pub fn freeze(&mut self) -> io::Result<()> {
        self.obtain(Command::Freeze)?;
        self.closes = false;
        Ok(())
    }

    /// Waits until no event is on its way any more. A lost one is found by [`Self::check`].
    pub fn settle(&self) -> io::Result<()> {
        let mut receiver = self.side().receiver();
        let mut arrivals = Arrivals::new(self.delivered());
        while !self.is_answered() && arrivals.go_on(self.delivered()) {
            self.look_at_peer()?;
            receiver.receive(NAP)?;
        }
        loop {
            let before = self.delivered();
            while receiver.receive(SILENCE)? > 0 {}
            if self.delivered() == before {
                return Ok(());
            }
        }
    }

    /// True if both ends have seen the last burst of the other on each lane.
    fn is_answered(&self) -> bool {
        let board = self.board();
        End::BOTH
            .into_iter()
            .all(|end| (0..board.lanes()).all(|lane| board.is_answered(end, lane)))
    }

    /// Number of events that both ends have received.
    fn delivered(&self) -> u64 {
        End::BOTH
            .into_iter()
            .map(|end| tally::sums(&self.board(), end).delivered)
            .sum()
    }

    /// Counts, prints the sums and fails unless sent is received.
    pub fn check(&self, rule: Rule) -> io::Result<()> {
        for sender in End::BOTH {
            let sums = tally::check(&self.board(), sender, rule).map_err(io::Error::other)?;
            println!(
                "# {} ports, from {sender:?}: {sums}",
                self.connection.lanes.len()
            );
        }
        Ok(())
    }

    pub(crate) fn obtain(&self, command: Command) -> io::Result<()> {
        let number = self.board().order(command);
        self.wait_fulfilled(number)
    }

    /// Receives until the peer has done what order `number` says.
    fn wait_fulfilled(&self, number: u32) -> io::Result<()> {
        let board = self.board();
        let mut receiver: Receiver<'_> = self.side().receiver();
        let mut arrivals = Arrivals::new(self.delivered());
        while board.fulfilled() != number {
            self.look_at_peer()?;
            if !arrivals.go_on(self.delivered()) {
                return Err(io::Error::other("the domU's end does not answer"));
            }
            receiver.receive(NAP)?;
        }
        Ok(())
    }

    fn look_at_peer(&self) -> io::Result<()> {
        match self.board().has_failed() {
            true => Err(io::Error::other(
                "the domU's end has failed; its console says why",
            )),
            false => Ok(()),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A peer that cannot leave is ended by the next connection.
        if self.closes && !self.board().has_failed() {
            let _ = self.obtain(Command::Leave);
        }
    }
}

/// Maps the memory that domain `domid` shares by `references`.
fn map(domid: u32, references: &[u32]) -> io::Result<(Gntdev, Mapping)> {
    let device = Gntdev::open()?;
    let index = device.insert(&grants_of(domid, references))?;
    let mapping = device.map(index, references.len(), Protection::ReadWrite)?;
    Ok((device, mapping))
}
