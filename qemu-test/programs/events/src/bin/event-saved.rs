// SPDX-License-Identifier: GPL-2.0

//! `xl save` and `xl restore` of a domU with thousands of connected ports.
//!
//! Restored, a domU has none of its connections: the ports are of the domain
//! that was saved. It must build its queues and its event array anew, with ports
//! for its console, xenstore and timers first, and let the array grow again.

#![forbid(unsafe_code)]

use std::env;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clients::agent::Agent;
use clients::console::Console;
use clients::domain;
use clients::domain::Domain;
use clients::domain::Kind;
use clients::domain::Plan as DomainPlan;
use clients::suite;
use clients::suite::Rule;
use events::board::Plan;
use events::link::Link;
use events::tally;
use suites::world::RELEASE_LIMIT;
use xen_guest::ktap::Verdict;

const SAVED: &str = "/run/saved-domain";

/// Three pages of the event array.
const PORTS: usize = 3000;

const A_WHILE: Duration = Duration::from_secs(3);

/// Longer than anything takes on a console.
const CONSOLE_LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let kind = match env::var("DOMU_TYPE").as_deref() {
        Ok("pvh") => Kind::Pvh,
        _ => Kind::Pv,
    };
    let name = format!("a {kind} domU with {PORTS} ports is saved, restored and connects as many");
    let rules = [Rule::new(name, 600, move || saved(kind))];
    suite::run("event-saved", &rules)
}

fn saved(kind: Kind) -> Verdict {
    let domain = DomainPlan::with_agent(kind)
        .line("max_event_channels = 16384")
        .create()?;
    let domid = domain.domid()?;
    let boot = Agent::of(domid)?.run("cat /proc/sys/kernel/random/boot_id")?;
    let mut link = Link::open(domid, PORTS)?;
    storm(&link)?;

    // The peer keeps its ports open through all of this. Its file knows ports that
    // are not any more, so it must not go on with them.
    link.freeze()?;
    domain.save(SAVED)?;
    drop(link);
    domain::wait_gone(domid, RELEASE_LIMIT)?;

    let domain = Domain::restore(kind, SAVED)?;
    fs::remove_file(SAVED)?;
    let domid = domain.domid()?;
    let agent = Agent::of(domid)?;
    let same_boot = agent.run("cat /proc/sys/kernel/random/boot_id")?;
    assert_eq!(same_boot, boot, "the domU was not restored but started");
    talk(domid)?;
    // Who sleeps needs the timer to wake up.
    assert_eq!(agent.run("sleep 1; echo awake")?, "awake\n");

    let link = Link::open(domid, PORTS)?;
    storm(&link)?;
    talk(domid)?;
    drop(link);
    domain.destroy()?;
    domain::wait_gone(domid, RELEASE_LIMIT)?;
    Ok(())
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

fn talk(domid: u32) -> io::Result<()> {
    let mut console = Console::attach(domid)?;
    // What is typed is shown too, but not as the sum.
    console.type_line("echo sum $((40000 + 2))")?;
    console.wait_for("sum 40002", CONSOLE_LIMIT).map(drop)
}
