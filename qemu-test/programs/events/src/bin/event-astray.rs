// SPDX-License-Identifier: GPL-2.0

//! A link in a queue of a domU is overwritten while the domU is paused: the events behind it cannot
//! be found any more. The domU's kernel must say so, once, and go on with all other queues.

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

use clients::agent::Agent;
use clients::domain;
use clients::domain::Domain;
use clients::domain::Kind;
use clients::domain::Plan as DomainPlan;
use clients::limit::PATIENCE;
use clients::suite;
use clients::suite::Rule;
use events::astray;
use events::board::priority_of;
use events::board::End;
use events::board::Field;
use events::debug_key;
use events::event_page;
use events::link::Link;
use events::ops::Ops;
use events::queues_file::QueuesFile;
use events::tally;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use suites::wait::until;
use xen_grants::PAGE_SIZE;

/// Number of lanes: three for each priority.
const LANES: usize = 48;

/// Lanes of the priority whose queue ends. The kernel's own ports have other priorities.
const LOST: [usize; 3] = [5, 21, 37];

/// A lane of another priority.
const OTHER: usize = 9;

/// A port that the domU has no event word for.
const WILD: u32 = 100_000;

fn main() -> ExitCode {
    let rules = [Rule::new(
        "a link in a queue of a PVH domU that leads nowhere ends only that queue, and is told once",
        wild_link,
    )];
    suite::run("event-astray", &rules)
}

fn wild_link() -> Verdict {
    if Ops::asked()? != Ops::Rust {
        return Err(Stop::Skip(
            "Linux's own port operations follow any link".into(),
        ));
    }
    // Without this its programs may not set priorities.
    let domain = DomainPlan::with_agent(Kind::Pvh)
        .parameter("xen_privcmd.unrestricted=1")
        .create()?;
    let domid = domain.domid();
    let agent = Agent::of(domid)?;
    let mut link = Link::open(domid, LANES)?;
    link.prioritize()?;
    link.walk(1)?;
    link.check(tally::Rule::Exact)?;
    assert_eq!(QueuesFile::of_domain(&agent)?.astray(), 0);

    lose_all_but_first(&link, &domain, frames_of(&agent)?)?;
    // The event before the link comes, and so do those of other queues.
    wait_for(&link, LOST[0])?;
    wait_for(&link, OTHER)?;
    let file = QueuesFile::of_domain(&agent)?;
    assert_eq!(file.astray(), 1, "links that led out of their queue");
    let told = messages(&agent)?;
    let priority = format!("priority {}", priority_of(LOST[0]));
    assert_eq!(told.len(), 1, "{told:?}");
    for part in ["CPU 0", &priority, &WILD.to_string()] {
        assert!(told[0].contains(part), "no {part:?} in {:?}", told[0]);
    }

    // Xen appends to the queue, which the domU cannot find any more.
    let sender = link.side().sender(1, 1);
    sender.one(LOST[0])?;
    sender.one(OTHER)?;
    wait_for(&link, OTHER)?;
    for lane in LOST {
        assert!(!is_seen(&link, lane), "lane {lane} is not lost");
    }
    assert_eq!(messages(&agent)?.len(), 1, "the kernel repeats itself");
    astray::none(&QueuesFile::of_this_domain()?, "dom0")?;

    // Events are missing, so the peer cannot end in order.
    link.freeze()?;
    drop(link);
    domain.destroy()?;
    domain::wait_gone(domid)?;
    Ok(())
}

/// Sends an event on each of the lanes [`LOST`] and on [`OTHER`] while the domU is paused, and
/// overwrites the link from the first one to the second.
fn lose_all_but_first(link: &Link, domain: &Domain, frames: u64) -> io::Result<()> {
    let board = link.board();
    let port_of = |lane| board.get(End::Domu, lane, Field::Port);
    domain.pause()?;
    let sender = link.side().sender(1, 1);
    for lane in LOST {
        sender.one(lane)?;
    }
    sender.one(OTHER)?;
    let domid = domain.domid();
    let ports = debug_key::press()?.remove(&domid).unwrap_or_default();
    assert_eq!(
        debug_key::chain(&ports, port_of(LOST[0])),
        LOST.map(port_of),
        "the queue in Xen"
    );
    event_page::overwrite_link(domid, frames, &ports, port_of(LOST[0]), WILD)?;
    domain.unpause()
}

/// Number of frames in which the domain's memory is.
fn frames_of(agent: &Agent) -> io::Result<u64> {
    // The last line of the first addresses that are memory has the highest one. A domain of this
    // size has none beyond the hole for devices.
    let ranges = agent.run("grep 'System RAM' /proc/iomem | tail -n 1")?;
    let last = ranges
        .split_once('-')
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .and_then(|last| u64::from_str_radix(last, 16).ok());
    match last {
        Some(last) if last > 0 => Ok(last / PAGE_SIZE as u64 + 1),
        _ => Err(io::Error::other(format!(
            "not a range of memory: {ranges:?}"
        ))),
    }
}

/// Messages of the domU's kernel about queues that have ended.
fn messages(agent: &Agent) -> io::Result<Vec<String>> {
    let log = agent.run("dmesg | grep 'the queue of priority'; true")?;
    Ok(log.lines().map(String::from).collect())
}

/// True if the domU has seen the last event of a lane.
fn is_seen(link: &Link, lane: usize) -> bool {
    link.board().is_answered(End::Dom0, lane)
}

fn wait_for(link: &Link, lane: usize) -> io::Result<()> {
    until(PATIENCE, || Ok(is_seen(link, lane).then_some(())))?
        .ok_or_else(|| io::Error::other(format!("the event on lane {lane} does not come")))
}
