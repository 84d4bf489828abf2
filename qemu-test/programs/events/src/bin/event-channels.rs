// SPDX-License-Identifier: GPL-2.0

//! What the FIFO ABI has beyond many ports: priorities and their order, events
//! that race with unmasking, processors that go and come back, and what the
//! hypervisor says of the queues.

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clients::agent::Agent;
use clients::command::succeed;
use clients::limit::PATIENCE;
use clients::suite;
use clients::suite::Rule;
use events::agreement;
use events::agreement::Words;
use events::board::priority_of;
use events::board::Board;
use events::board::End;
use events::board::Field;
use events::board::Plan;
use events::board::PRIORITIES;
use events::debug_key;
use events::debug_key::Ports;
use events::hotplug;
use events::link::Link;
use events::ops::Ops;
use events::options::Options;
use events::queues_file::QueuesFile;
use events::tally;
use suites::random::Random;
use suites::remote::RemoteGranter;
use suites::wait::until;
use suites::world::DOM0;
use xen_guest::ktap::Stop;
use xen_guest::ktap::Verdict;
use xen_guest::platform::MemoryModel;

/// Four for each priority.
const FEW: usize = 64;

/// So many that the event array has several pages in both domains.
const MANY: usize = 2200;

/// How long a part of a rule goes on, where more time finds more.
const A_WHILE: Duration = Duration::from_secs(5);

const SEED: u32 = 2;

fn main() -> ExitCode {
    let options = match Options::of_program() {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("event-channels: {usage}");
            return ExitCode::FAILURE;
        }
    };
    // Most of them in dom0, whose processors take more with them.
    let in_domu = options.cycles / 4;
    let in_dom0 = options.cycles - in_domu;
    let mut rules = vec![
        Rule::new(
            "the count notices an event that is lost, and one that nobody sent",
            count,
        ),
        Rule::new("events of all 16 priorities, from both sides", priorities),
        Rule::new(
            "a domU that was paused takes its events by priority, then as they came",
            order_after_pause,
        ),
        Rule::new(
            "debugfs counts what a domU that was paused has taken, by priority",
            count_after_pause,
        ),
        Rule::new(
            "unmasking in one thread while another sends, in both domains",
            unmask_race,
        ),
    ];
    rules.extend(options.all_parts().map(|part| {
        let times = part.share(in_dom0);
        let name = format!("processors of dom0 go and come back {times} times under events{part}");
        Rule::new(name, move || hotplug_in_dom0(times)).expect_failure(loss_by_hotplug())
    }));
    rules.extend(options.all_parts().map(|part| {
        let times = part.share(in_domu);
        let name =
            format!("processors of the domU go and come back {times} times under events{part}");
        Rule::new(name, move || hotplug_in_domu(times))
    }));
    rules.push(Rule::new(
        "Xen's debug key e and debugfs agree on the queues of both domains",
        agreement,
    ));
    suite::run_those("event-channels", &rules, &options.wanted)
}

fn plan(longest_burst: u32, threads: bool) -> Plan {
    Plan {
        seed: SEED,
        longest_burst,
        threads,
    }
}

/// If the count noticed nothing, all other rules would hold for nothing.
fn count() -> Verdict {
    let lane = FEW / 2;
    for (lose, complaint) in [(true, "an event was lost"), (false, "nobody sent")] {
        let link = Link::to_domu(FEW)?;
        link.walk(SEED)?;
        link.check(tally::Rule::Exact)?;
        let sender = link.side().sender(SEED, 1);
        let board = link.board();
        if lose {
            sender.lose_one(lane);
        } else {
            let delivered = || board.get(End::Domu, lane, Field::Delivered);
            let before = delivered();
            sender.invent_one(lane)?;
            until(PATIENCE, || Ok((delivered() > before).then_some(())))?;
        }
        for rule in [tally::Rule::Exact, tally::Rule::Coalescing] {
            let message = tally::check(&board, End::Dom0, rule).unwrap_err();
            assert!(message.contains(complaint), "{message}");
            assert!(message.contains(&format!("lane {lane},")), "{message}");
        }
    }
    Ok(())
}

fn priorities() -> Verdict {
    let link = Link::to_domu(FEW)?;
    link.prioritize()?;
    for seed in 0..PRIORITIES {
        link.walk(seed)?;
    }
    link.check(tally::Rule::Exact)?;
    link.storm_for(plan(4, false), A_WHILE)?;
    link.check(tally::Rule::Coalescing)?;
    Ok(())
}

/// The domU runs on its first processor alone while this lives, so that its
/// events come one after the other.
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
        // What does not come back is missed by the next suite.
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

/// Sends an event on each lane while the domU is paused, and returns the lanes in
/// that order and what Xen says of the domU's ports before it goes on.
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

fn fifo_only() -> Verdict {
    match Ops::asked()? {
        Ops::TwoLevel => Err(Stop::Skip("the 2-level ABI has no queues".into())),
        Ops::Rust | Ops::C => Ok(()),
    }
}

fn rust_only() -> Verdict {
    match Ops::asked()? {
        Ops::Rust => Ok(()),
        Ops::C | Ops::TwoLevel => Err(Stop::Skip(
            "Linux's own port operations tell nothing of queues in debugfs".into(),
        )),
    }
}

fn order_after_pause() -> Verdict {
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

fn count_after_pause() -> Verdict {
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

fn unmask_race() -> Verdict {
    for lanes in [1, 8] {
        let link = Link::to_domu(lanes)?;
        for longest_burst in [1, 2, 8] {
            link.storm_for(plan(longest_burst, true), A_WHILE / 2)?;
            let rule = match longest_burst {
                1 => tally::Rule::Exact,
                _ => tally::Rule::Coalescing,
            };
            link.check(rule)?;
        }
    }
    Ok(())
}

/// Linux's own operations for the FIFO ABI drop what is in the queue of a
/// processor that has gone: "Dropping pending event for port" in the log. It was
/// moved to another processor, but it was linked before, and nobody links it
/// anew. Seen in a PVH dom0, not in a PV one.
fn loss_by_hotplug() -> Option<&'static str> {
    let c = Ops::asked().is_ok_and(|ops| ops == Ops::C);
    let translated = MemoryModel::current().is_ok_and(|model| model == MemoryModel::AutoTranslated);
    (c && translated).then_some("Linux's own operations drop what is queued for a processor")
}

fn hotplug_in_dom0(count: u32) -> Verdict {
    let link = Link::to_domu(FEW)?;
    hotplug_under_events(&link, count, QueuesFile::of_this_domain, || {
        hotplug::cycle(count)
    })?;
    link.check(tally::Rule::Coalescing)?;
    Ok(())
}

fn hotplug_in_domu(count: u32) -> Verdict {
    let link = Link::to_domu(FEW)?;
    let domid = link.domid();
    let file = || QueuesFile::of_domain(link.agent());
    // No order to the agent may take longer than its patience.
    const AT_ONCE: u32 = 10;
    hotplug_under_events(&link, count, file, || {
        let agent = Agent::of(domid)?;
        let mut events = 0;
        for done in (0..count).step_by(AT_ONCE as usize) {
            let now = AT_ONCE.min(count - done);
            let output = agent.run(&format!("event-cpus cycle {now}"))?;
            let more: u64 = output.trim().parse().map_err(io::Error::other)?;
            events += more;
        }
        Ok(events)
    })?;
    link.check(tally::Rule::Coalescing)?;
    Ok(())
}

/// Sends events from both sides while processors go and come back by `cycle`, which
/// says how many came to them. Returns how many were found in the queues of those
/// that had gone, if the kernel's `file` tells.
fn hotplug_under_events(
    link: &Link,
    count: u32,
    file: impl Fn() -> io::Result<QueuesFile>,
    cycle: impl FnOnce() -> io::Result<u64> + Send,
) -> io::Result<Option<u64>> {
    assert!(count > 0, "no processor is to go");
    let tells = Ops::asked()? == Ops::Rust;
    let drained = || {
        tells
            .then(&file)
            .transpose()
            .map(|file| file.map(|file| file.drained()))
    };
    let before = drained()?;
    let events = storm_while(link, cycle)?;
    let drained = drained()?.zip(before).map(|(now, before)| now - before);
    println!("# {events} events came to processors that went {count} times");
    if let Some(drained) = drained {
        println!("# drained {drained} events");
    }
    Ok(drained)
}

/// Sends events from both sides until `work` is done.
fn storm_while(link: &Link, work: impl FnOnce() -> io::Result<u64> + Send) -> io::Result<u64> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            let result = work();
            done.store(true, Ordering::SeqCst);
            result
        });
        let stormed = link.storm(plan(4, false), &|| done.load(Ordering::SeqCst));
        let worked = working.join().expect("the work does not panic");
        stormed.and(worked)
    })
}

fn agreement() -> Verdict {
    rust_only()?;
    let link = Link::to_domu(MANY)?;
    link.walk(SEED)?;
    // A port of the kernel's own may be busy while Xen looks, and quiet before and after that.
    const LOOKS: usize = 5;
    let mut found = look(&link)?;
    for _ in 1..LOOKS {
        if found.is_empty() {
            break;
        }
        println!("# {} differences: looking again", found.len());
        found = look(&link)?;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    link.check(tally::Rule::Exact)?;
    Ok(())
}

/// What the kernels of both domains and Xen tell differently.
fn look(link: &Link) -> io::Result<Vec<String>> {
    let read = || -> io::Result<_> {
        Ok([
            QueuesFile::of_this_domain()?,
            QueuesFile::of_domain(link.agent())?,
        ])
    };
    let before = read()?;
    let domains = debug_key::press()?;
    let after = read()?;
    let mut found = Vec::new();
    for ((domid, words), (before, after)) in [(DOM0, Words::Told), (link.domid(), Words::LeftOut)]
        .into_iter()
        .zip(before.into_iter().zip(after))
    {
        assert!(before.pages > 1, "{} pages in domain {domid}", before.pages);
        let ports = domains.get(&domid).cloned().unwrap_or_default();
        assert!(ports.len() >= MANY, "{} ports of {domid}", ports.len());
        let differences = agreement::differences(&before, &ports, &after, words);
        found.extend(
            differences
                .iter()
                .map(|one| format!("domain {domid}: {one}")),
        );
    }
    Ok(found)
}
