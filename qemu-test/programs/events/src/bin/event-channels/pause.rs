// SPDX-License-Identifier: GPL-2.0

//! Events that come to a domU while it is paused, so that all are in its queues when it goes on.

use std::io;

use clients::agent::Agent;
use clients::command::succeed;
use events::board::priority_of;
use events::board::Board;
use events::board::End;
use events::board::Field;
use events::board::PRIORITIES;
use events::debug_key;
use events::debug_key::Ports;
use events::link::Link;
use events::queues_file::QueuesFile;
use events::tally;
use guest_test::ktap::Verdict;
use suites::random::Random;
use suites::remote::RemoteGranter;

use crate::fifo_only;
use crate::rust_only;
use crate::FEW;
use crate::SEED;

/// The domU runs on its first processor alone while this lives, so that its events come one after
/// the other.
struct OneProcessor {
    agent: Agent,
}

impl OneProcessor {
    fn leave() -> io::Result<Self> {
        let agent = Agent::of(RemoteGranter::domid_of_domu()?)?;
        let one = Self { agent };
        one.switch_others(false)?;
        Ok(one)
    }

    fn switch_others(&self, online: bool) -> io::Result<()> {
        let state = u8::from(online);
        self.agent
            .run(&format!(
                "for file in /sys/devices/system/cpu/cpu[1-9]*/online; do \
                 [ ! -e $file ] || echo {state} >$file || exit; done"
            ))
            .map(drop)
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        // The next suite fails if one does not come back.
        let _ = self.switch_others(true);
    }
}

/// A paused domU; it goes on when this is dropped.
struct Pause {
    domid: String,
}

impl Pause {
    fn begin(domid: u32) -> io::Result<Self> {
        let domid = domid.to_string();
        succeed("xl", &["pause", &domid])?;
        Ok(Self { domid })
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        let _ = succeed("xl", &["unpause", &self.domid]);
    }
}

/// Sends an event on each lane while the domU is paused, and returns the lanes in that order and
/// the state of the domU's ports in Xen before it goes on.
fn send_while_paused(link: &Link) -> io::Result<(Vec<usize>, Ports)> {
    let mut lanes: Vec<usize> = (0..link.board().lanes()).collect();
    Random::new(SEED.into()).shuffle(&mut lanes);
    let pause = Pause::begin(link.domid())?;
    let sender = link.side().sender(SEED, 1);
    for lane in &lanes {
        sender.one(*lane)?;
    }
    let mut domains = debug_key::press()?;
    drop(pause);
    link.settle()?;
    let ports = domains.remove(&link.domid());
    let ports = ports.ok_or_else(|| io::Error::other("Xen does not tell of the domU"))?;
    Ok((lanes, ports))
}

/// The domU takes the events of its queues by priority, and in a queue as they came.
pub fn order() -> Verdict {
    fifo_only()?;
    let _one = OneProcessor::leave()?;
    let link = Link::to_domu(FEW)?;
    link.prioritize()?;
    link.walk(SEED)?;
    let (sent, ports) = send_while_paused(&link)?;
    let board = link.board();

    for priority in 0..PRIORITIES {
        let expected: Vec<u32> = with_priority(&sent, priority)
            .map(|lane| board.get(End::Domu, lane, Field::Port))
            .collect();
        for port in &expected {
            let state = ports[port];
            assert!(state.pending && !state.masked, "port {port}: {state:?}");
        }
        // The kernel's own ports may have events too.
        let mut queue = debug_key::chain(&ports, expected[0]);
        queue.retain(|port| expected.contains(port));
        assert_eq!(queue, expected, "Xen's queue of priority {priority}");
    }
    assert_eq!(taken_by_domu(&board), by_priority(&sent));
    link.check(tally::Rule::Exact)?;
    Ok(())
}

fn with_priority(lanes: &[usize], priority: u32) -> impl Iterator<Item = usize> + '_ {
    let lanes = lanes.iter().copied();
    lanes.filter(move |lane| priority_of(*lane) == priority)
}

/// `lanes` in the order of their priorities, and as they are where that is equal.
fn by_priority(lanes: &[usize]) -> Vec<usize> {
    (0..PRIORITIES)
        .flat_map(|priority| with_priority(lanes, priority))
        .collect()
}

/// The lanes in the order of their last events.
fn taken_by_domu(board: &Board<'_>) -> Vec<usize> {
    let mut lanes: Vec<usize> = (0..board.lanes()).collect();
    lanes.sort_by_key(|lane| board.get(End::Domu, *lane, Field::Order));
    lanes
}

/// The kernel's own ports have these priorities: the timer's, and the default.
const KERNEL_S: [u32; 2] = [0, 7];

/// The domU's file of queues counts the events that it takes.
pub fn count() -> Verdict {
    rust_only()?;
    let _one = OneProcessor::leave()?;
    let link = Link::to_domu(FEW)?;
    link.prioritize()?;
    link.walk(SEED)?;
    let before = QueuesFile::of_domain(link.agent())?;
    let (sent, _) = send_while_paused(&link)?;
    let after = QueuesFile::of_domain(link.agent())?;
    for priority in 0..PRIORITIES {
        let sent = with_priority(&sent, priority).count() as u64;
        let taken = after.consumed(priority) - before.consumed(priority);
        if KERNEL_S.contains(&priority) {
            assert!(taken >= sent, "priority {priority}: {taken} of {sent}");
        } else {
            assert_eq!(taken, sent, "events taken with priority {priority}");
        }
    }
    Ok(())
}
