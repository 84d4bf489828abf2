// SPDX-License-Identifier: GPL-2.0

//! `xl save` and `xl restore` of a domU with thousands of connected ports, and saves under events
//! after which the domU goes on.
//!
//! Restored, a domU has none of its connections: the ports are of the domain that was saved. It
//! must build its queues and its event array anew, with ports for its console, xenstore and timers
//! first, and let the array grow again. A processor that is away all the while gets its queues when
//! it comes back.
//!
//! A domU that goes on keeps its ports, and dom0 keeps its pages mapped: those in which both ends
//! count their events. Events that come while it is suspended wait for it.

#![forbid(unsafe_code)]

use std::env;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clients::agent::Agent;
use clients::command::succeed;
use clients::console;
use clients::domain;
use clients::domain::Domain;
use clients::domain::Kind;
use clients::domain::Plan as DomainPlan;
use clients::suite;
use clients::suite::Rule;
use events::astray;
use events::board::Plan;
use events::link::Link;
use events::ops::Ops;
use events::options::Options;
use events::queues_file::QueuesFile;
use events::tally;
use guest_test::ktap::Verdict;

const SAVED: &str = "/run/saved-domain";

/// The domain's processors.
const VCPUS: u32 = 3;

/// The one that is away when the domain is saved. One before it and one after it run.
const AWAY: u32 = 1;

const A_WHILE: Duration = Duration::from_secs(3);

/// Ports of the domU that goes on.
const FEW: usize = 64;

/// Number of times that it is saved.
const CHECKPOINTS: u32 = 20;

/// File system with room for the first pages of a domU, and a file in it.
const SMALL: &str = "/run/small";
const SMALL_FILE: &str = "/run/small/saved-domain";

fn main() -> ExitCode {
    let options = match Options::of_program() {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("event-saved: {usage}");
            return ExitCode::FAILURE;
        }
    };
    let kind = match env::var("DOMU_TYPE").as_deref() {
        Ok("pvh") => Kind::Pvh,
        _ => Kind::Pv,
    };
    let ports = options.ports;
    let name = format!(
        "a {kind} domU of {VCPUS} vCPUs, one of them offline, with {ports} ports is saved, \
         restored, gets the vCPU back and connects as many"
    );
    let mut rules = vec![Rule::new(name, move || saved(kind, ports))];
    // To save a PVH domU takes minutes under the emulator.
    if kind == Kind::Pv {
        rules.push(Rule::new(
            format!("a {kind} domU is saved {CHECKPOINTS} times under events, and goes on"),
            move || checkpointed(kind),
        ));
        rules.push(Rule::new(
            format!("a {kind} domU whose save fails under events goes on"),
            move || not_saved(kind),
        ));
    }
    suite::run_those("event-saved", &rules, &options.wanted)
}

fn saved(kind: Kind, ports: usize) -> Verdict {
    let domain = DomainPlan::with_agent(kind)
        .vcpus(VCPUS)
        .line("max_event_channels = 16384")
        .create()?;
    let domid = domain.domid();
    let agent = Agent::of(domid)?;
    let boot = agent.run("cat /proc/sys/kernel/random/boot_id")?;
    let mut link = Link::open(domid, ports)?;
    storm(&link)?;
    set_online(&agent, false)?;
    check_processors(&agent, false, true, "before the domU is saved")?;
    link.walk(2)?;
    link.check(tally::Rule::Coalescing)?;
    check_astray(&agent, "before it is saved")?;

    // The peer keeps its ports open through all of this. Its file knows ports that are not any
    // more, so it must not go on with them.
    link.freeze()?;
    domain.save(SAVED)?;
    drop(link);
    domain::wait_gone(domid)?;

    let domain = Domain::restore(kind, SAVED)?;
    fs::remove_file(SAVED)?;
    let domid = domain.domid();
    let agent = Agent::of(domid)?;
    let same_boot = agent.run("cat /proc/sys/kernel/random/boot_id")?;
    assert_eq!(same_boot, boot, "the domU was not restored but started");
    console::assert_answers(domid, 1)?;
    // A sleeping program needs the timer to wake up.
    assert_eq!(agent.run("sleep 1; echo awake")?, "awake\n");

    check_processors(&agent, false, false, "after the domU was restored")?;
    set_online(&agent, true)?;
    check_processors(&agent, true, true, "with all of them back")?;
    let link = Link::open(domid, ports)?;
    let before = Events::of(&agent)?;
    storm(&link)?;
    Events::of(&agent)?.check(&before)?;
    console::assert_answers(domid, 2)?;
    check_astray(&agent, "after it was restored")?;
    drop(link);
    domain.destroy()?;
    domain::wait_gone(domid)?;
    Ok(())
}

fn checkpointed(kind: Kind) -> Verdict {
    goes_on(kind, |domain| {
        (0..CHECKPOINTS).try_for_each(|_| domain.checkpoint("/dev/null"))
    })
}

fn not_saved(kind: Kind) -> Verdict {
    fs::create_dir(SMALL)?;
    succeed("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs", SMALL])?;
    let verdict = goes_on(kind, |domain| domain.fail_to_save(SMALL_FILE));
    let unmounted = succeed("umount", &[SMALL]);
    verdict?;
    unmounted?;
    fs::remove_dir(SMALL)?;
    Ok(())
}

/// Sends events between dom0 and a domU until `save` is done with it. The domU is then the same as
/// before, with the same ports, and no event was lost.
fn goes_on(kind: Kind, save: impl FnOnce(&Domain) -> io::Result<()> + Send) -> Verdict {
    let domain = DomainPlan::with_agent(kind).vcpus(VCPUS).create()?;
    let domid = domain.domid();
    let agent = Agent::of(domid)?;
    let boot = agent.run("cat /proc/sys/kernel/random/boot_id")?;
    let link = Link::open(domid, FEW)?;
    let plan = Plan {
        seed: 3,
        longest_burst: 4,
        threads: false,
    };
    link.storm_while(plan, || save(&domain))?;
    link.check(tally::Rule::Coalescing)?;
    link.storm_for(plan, A_WHILE)?;
    link.check(tally::Rule::Coalescing)?;
    let same_boot = agent.run("cat /proc/sys/kernel/random/boot_id")?;
    assert_eq!(same_boot, boot, "the domU was started anew");
    assert_eq!(agent.run("sleep 1; echo awake")?, "awake\n");
    console::assert_answers(domid, 3)?;
    check_astray(&agent, "that goes on")?;
    drop(link);
    domain.destroy()?;
    domain::wait_gone(domid)?;
    Ok(())
}

fn set_online(agent: &Agent, online: bool) -> io::Result<()> {
    let state = u8::from(online);
    let path = format!("/sys/devices/system/cpu/cpu{AWAY}/online");
    agent.run(&format!("echo {state} >{path}")).map(drop)
}

/// Fails unless all processors run and the hypervisor knows their control blocks, but for [`AWAY`],
/// of which that is so if `online` and `block`.
fn check_processors(agent: &Agent, online: bool, block: bool, when: &str) -> io::Result<()> {
    let expected = if online { "0-2" } else { "0,2" };
    let listed = agent.run("cat /sys/devices/system/cpu/online")?;
    assert_eq!(listed.trim(), expected, "processors {when}");
    let Some(file) = file_of_queues(agent)? else {
        return Ok(());
    };
    for number in 0..VCPUS {
        let expected = match number {
            AWAY => (online, block),
            _ => (true, true),
        };
        let processor = file.processors[&number];
        let found = (processor.online, processor.block);
        assert_eq!(found, expected, "processor {number} {when}");
    }
    Ok(())
}

/// Fails if a queue of dom0 or of the domU has led out of itself, if the port operations tell.
fn check_astray(agent: &Agent, when: &str) -> io::Result<()> {
    let Some(file) = file_of_queues(agent)? else {
        return Ok(());
    };
    astray::none(&file, &format!("the domU {when}"))?;
    astray::none(&QueuesFile::of_this_domain()?, "dom0")
}

/// The domain's file of queues, if it runs the port operations that have one.
fn file_of_queues(agent: &Agent) -> io::Result<Option<QueuesFile>> {
    match Ops::asked()? {
        Ops::Rust => QueuesFile::of_domain(agent).map(Some),
        Ops::C | Ops::TwoLevel => Ok(None),
    }
}

/// The events of each processor of the domain.
struct Events {
    /// Those of the peer, as the interrupts count them.
    peer: Vec<u64>,
    /// All, as the queues count them, if they do.
    all: Option<Vec<u64>>,
}

impl Events {
    /// Those until now; none must be under way.
    fn of(agent: &Agent) -> io::Result<Self> {
        let peer = agent.run("event-cpus count")?;
        let peer: Result<Vec<u64>, _> = peer.split_whitespace().map(str::parse).collect();
        let file = file_of_queues(agent)?;
        Ok(Self {
            peer: peer.map_err(io::Error::other)?,
            all: file.map(|file| (0..VCPUS).map(|cpu| file.consumed_by(cpu)).collect()),
        })
    }

    /// Fails unless each processor has had events of the peer since `before`, out of its queues.
    fn check(&self, before: &Self) -> io::Result<()> {
        let growth = |now: &[u64], before: &[u64]| -> Vec<u64> {
            assert_eq!([now.len(), before.len()], [VCPUS as usize; 2], "processors");
            now.iter().zip(before).map(|(now, old)| now - old).collect()
        };
        let peer = growth(&self.peer, &before.peer);
        println!("# events of the peer, by processor: {peer:?}");
        assert!(!peer.contains(&0), "a processor without events: {peer:?}");
        if let (Some(now), Some(before)) = (&self.all, &before.all) {
            let all = growth(now, before);
            println!("# events out of the queues, by processor: {all:?}");
            assert!(
                all.iter().zip(&peer).all(|(all, peer)| all >= peer),
                "{peer:?} events of the peer, {all:?} out of the queues"
            );
        }
        Ok(())
    }
}

fn storm(link: &Link) -> io::Result<()> {
    link.walk(1)?;
    link.check(tally::Rule::Exact)?;
    let plan = Plan {
        seed: 1,
        longest_burst: 4,
        threads: false,
    };
    link.storm_for(plan, A_WHILE)?;
    link.check(tally::Rule::Coalescing)
}
