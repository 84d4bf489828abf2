// SPDX-License-Identifier: GPL-2.0

//! xenstored and xenconsoled serve domains through all of their lives. Both map a page of each
//! domain: its xenstore ring and its console ring.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clients::agent::Agent;
use clients::console;
use clients::domain;
use clients::domain::Domain;
use clients::domain::Kind;
use clients::domain::Plan;
use clients::suite;
use clients::suite::Rule;
use guest_test::grant_usage::GrantUsage;
use guest_test::ktap::Verdict;
use guest_test::platform::MemoryModel;
use suites::world::settled;

const ROUNDS: u32 = 6;
const FEW_ROUNDS: u32 = 4;

fn main() -> ExitCode {
    // A round takes half a minute in a PVH dom0.
    let count = match MemoryModel::current() {
        Ok(MemoryModel::AutoTranslated) => FEW_ROUNDS,
        _ => ROUNDS,
    };
    // A rule each: when one fails, its name says which of them.
    let rules: Vec<Rule> = (1..=count)
        .map(|round| {
            let kind = [Kind::Pv, Kind::Pvh][round as usize % 2];
            let name = format!(
                "domU {round} of {count}, {kind}: starts, talks, reboots, shuts down and is \
                 destroyed, and no map of it stays"
            );
            Rule::new(name, move || life(kind, round))
        })
        .collect();
    suite::run("client-daemons", &rules)
}

fn life(kind: Kind, round: u32) -> Verdict {
    let before = GrantUsage::read()?;
    let mut domain = Plan::with_agent(kind)
        // A domain that has shut down stays to be looked at and destroyed.
        .line("on_poweroff = \"preserve\"")
        .line("on_reboot = \"restart\"")
        .create()?;
    let first = domain.domid();
    talk(&domain, round)?;

    domain.reboot()?;
    let second = domain.domid();
    assert_nothing_left(first)?;
    talk(&domain, round + 100)?;

    domain.shut_down()?;
    domain.destroy()?;
    assert_nothing_left(second)?;
    let usage = settled(|usage| usage.beyond(&before).is_empty())?;
    let left = usage.beyond(&before);
    assert!(left.is_empty(), "still mapped: {left}");
    Ok(())
}

/// Through the console both ways, and through xenstore both ways.
fn talk(domain: &Domain, number: u32) -> Verdict {
    let agent = Agent::of(domain.domid())?;
    assert_eq!(agent.run("echo xenstore")?, "xenstore\n");

    console::assert_answers(domain.domid(), number)?;
    Ok(())
}

/// While anybody has a page of a dead domain mapped, Xen keeps the domain.
fn assert_nothing_left(domid: u32) -> Verdict {
    domain::wait_gone(domid)?;
    let usage = GrantUsage::read()?;
    let count = usage.count_of_domain(domid);
    assert_eq!(count, 0, "grants of domain {domid} in use: {usage}");
    Ok(())
}
