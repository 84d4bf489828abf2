// SPDX-License-Identifier: GPL-2.0

//! A domU misuses its event channels with all of its processors, and processors of dom0 go and come
//! back meanwhile. Another domU's events are neither lost nor invented, and nothing of the attacker
//! is left when it is destroyed.
//!
//! ```text
//!   attacker ===== hundreds of ports =====> dom0: flooded driver
//!   attacker ----- its rings -------------> dom0: xenstored, xenconsoled
//!   the domU of the harness <-- a few ports --> dom0: counted exactly
//! ```

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use clients::agent::Agent;
use clients::console;
use clients::domain;
use clients::domain::Domain;
use clients::domain::Kind;
use clients::domain::Plan as DomainPlan;
use clients::limit::PATIENCE;
use clients::suite;
use clients::suite::Rule;
use events::agreement;
use events::agreement::Words;
use events::astray;
use events::board::Misuse;
use events::board::Plan;
use events::debug_key;
use events::flooded::Served;
use events::hotplug;
use events::link::Link;
use events::ops::Ops;
use events::options::Options;
use events::queues_file::QueuesFile;
use events::tally;
use guest_test::accounting;
use guest_test::ktap::Verdict;
use suites::remote::RemoteGranter;
use suites::wait::settle;
use xen_grants::DOM0;

/// Number of lanes of the domU that is not an attacker.
const FEW: usize = 64;

/// Number of events that an attacker has got through before it is destroyed.
const AMID: u64 = 20_000;

const SEED: u32 = 3;

fn main() -> ExitCode {
    let options = match Options::of_program() {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("event-hostile: {usage}");
            return ExitCode::FAILURE;
        }
    };
    let kind = match env::var("DOMU_TYPE").as_deref() {
        Ok("pvh") => Kind::Pvh,
        _ => Kind::Pv,
    };
    let processors = thread::available_parallelism().map_or(1, usize::from) as u32;
    let Options { ports, cycles, .. } = options;
    let rules = [
        Rule::new(
            format!(
                "a {kind} domU of {processors} vCPUs misuses {ports} ports while processors of \
                 dom0 go and come back {cycles} times: another domU's events are counted exactly"
            ),
            move || attacked(kind, processors, ports, cycles),
        )
        .expect_failure(hotplug::loss_in_dom0()),
        Rule::new(
            format!("a {kind} domU is destroyed while it misuses {ports} ports: nothing is left"),
            move || destroyed(kind, processors, ports),
        ),
        Rule::new(astray::NONE, || {
            astray::none_in_both_domains(&Agent::of(RemoteGranter::domid_of_domu()?)?)
        }),
    ];
    suite::run_those("event-hostile", &rules, &options.wanted)
}

/// Makes a domain that can misuse `ports` ports.
fn attacker(kind: Kind, processors: u32) -> io::Result<Domain> {
    DomainPlan::with_agent(kind)
        .vcpus(processors)
        // Without this its programs may make no hypercalls of their own.
        .parameter("xen_privcmd.unrestricted=1")
        .create()
}

/// Events alone, each counted.
fn plan() -> Plan {
    Plan {
        seed: SEED,
        longest_burst: 1,
        threads: false,
    }
}

fn misuse(victim: &Link) -> Misuse {
    Misuse {
        seed: SEED,
        victim: victim.domid(),
        harmless: false,
    }
}

fn attacked(kind: Kind, processors: u32, ports: usize, cycles: u32) -> Verdict {
    let honest = Link::to_domu(FEW)?;
    let attacker = attacker(kind, processors)?;
    let mut attack = Link::to_attacker(attacker.domid(), ports)?;
    let victim = honest.domid();

    let (served, events) = under_attack(&honest, &mut attack, |_| {
        let events = hotplug::cycle(cycles)?;
        // The daemons have the attacker's events as well.
        Agent::of(victim)?.run("true")?;
        console::assert_answers(victim, 1)?;
        Ok(events)
    })?;
    println!("# {events} of the other domU's events came to processors that went {cycles} times");
    println!("# the attacker's driver: {served:?}");
    assert!(served.events > 0 && served.bound_again > 0 && served.refused == 0);
    honest.check(tally::Rule::Exact)?;

    attack.flooded()?.finish()?;
    attack.walk(SEED)?;
    attack.check(tally::Rule::Exact)?;
    Agent::of(attacker.domid())?.run("true")?;
    console::assert_answers(attacker.domid(), 2)?;
    honest.walk(SEED)?;
    honest.check(tally::Rule::Exact)?;
    assert_consistent()?;
    Ok(())
}

/// Sends events to and from the domU of `honest` while the other one attacks and `work` is done,
/// which is told how many of the attacker's events were received.
fn under_attack<T: Send>(
    honest: &Link,
    attack: &mut Link,
    work: impl FnOnce(&AtomicU64) -> io::Result<T> + Send,
) -> io::Result<(Served, T)> {
    attack.flooded()?.serve_while(misuse(honest), |received| {
        honest.storm_while(plan(), || work(received))
    })
}

/// Fails unless the hypervisor and dom0's kernel agree on dom0's queues.
fn assert_consistent() -> Verdict {
    if Ops::asked()? != Ops::Rust {
        return Ok(());
    }
    let found = agreement::settled(|| {
        let before = QueuesFile::of_this_domain()?;
        let domains = debug_key::press()?;
        let after = QueuesFile::of_this_domain()?;
        let ports = domains.get(&DOM0).cloned().unwrap_or_default();
        Ok(agreement::differences(&before, &ports, &after, Words::Told))
    })?;
    assert!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

fn destroyed(kind: Kind, processors: u32, ports: usize) -> Verdict {
    let honest = Link::to_domu(FEW)?;
    let before = channels_in_use()?;
    let attacker = attacker(kind, processors)?;
    let domid = attacker.domid();
    let mut attack = Link::to_attacker(domid, ports)?;

    let (served, ()) = under_attack(&honest, &mut attack, |received| {
        settle(
            PATIENCE,
            || Ok(received.load(SeqCst)),
            |events| *events >= AMID,
        )?;
        attacker.destroy()
    })?;
    println!("# the attacker's driver: {served:?}");
    assert!(served.events >= AMID);
    honest.check(tally::Rule::Exact)?;

    attack.abandon();
    domain::wait_gone(domid)?;
    // The daemons close their ports when they hear of it.
    let after = settle(PATIENCE, channels_in_use, |now| *now == before)?;
    assert_eq!(after, before, "ports of dom0 for the kernel and for Xen");
    honest.walk(SEED)?;
    honest.check(tally::Rule::Exact)?;
    assert_consistent()?;
    Ok(())
}

/// Event channels of dom0 that its kernel has bound, and those that the hypervisor has.
fn channels_in_use() -> io::Result<(Option<i64>, usize)> {
    let bound = accounting::read()?.get("event_channels");
    let open = debug_key::press()?
        .get(&DOM0)
        .map_or(0, |ports| ports.len());
    Ok((bound, open))
}
