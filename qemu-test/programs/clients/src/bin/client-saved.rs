// SPDX-License-Identifier: GPL-2.0

//! `xl save`, `xl restore`, `xl pause` and `xl unpause` of a domU whose grants are mapped.

#![forbid(unsafe_code)]

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use clients::agent::Agent;
use clients::domain;
use clients::domain::Domain;
use clients::domain::Kind;
use clients::domain::Plan;
use clients::limit::PATIENCE;
use clients::suite;
use clients::suite::Rule;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use suites::granter::Access;
use suites::granter::Granter;
use suites::remote::RemoteGranter;
use xen_grants::mapping::Protection;

const SAVED: &str = "/run/saved-domain";
const PAGES: usize = 8;

fn main() -> ExitCode {
    let rules = [Kind::Pv, Kind::Pvh]
        .into_iter()
        .flat_map(|kind| {
            [
                Rule::new(
                    format!("a paused {kind} domU's grants are mapped, read and unmapped"),
                    move || paused(kind),
                ),
                Rule::new(
                    format!("a {kind} domU with mapped grants is saved, restored and grants anew"),
                    move || saved(kind),
                ),
            ]
        })
        .collect::<Vec<_>>();
    suite::run("client-saved", &rules)
}

fn start(kind: Kind) -> std::io::Result<(Domain, Agent, RemoteGranter)> {
    let domain = Plan::with_agent(kind).create()?;
    let domid = domain.domid();
    let agent = Agent::of(domid)?;
    agent.run("granter >/dev/null 2>&1 &")?;
    let granter = RemoteGranter::connect(domid)?;
    Ok((domain, agent, granter))
}

fn paused(kind: Kind) -> Verdict {
    let (domain, agent, mut granter) = start(kind)?;
    let share = granter.share(PAGES, Access::ReadWrite)?;
    granter.fill(&share, 1)?;
    let device = Gntdev::open()?;
    let index = device.insert(&share.grants)?;
    let mapping = device.map(index, PAGES, Protection::ReadWrite)?;

    domain.pause()?;
    let request = agent.ask("echo awake")?;
    let silence = agent.answer(&request, Duration::from_secs(1));
    assert!(silence.is_err(), "a paused domU answered");
    assert_eq!(mapping.first_difference(1), None);
    mapping.fill(2);
    mapping.unmap()?;
    device.remove(index, PAGES as u32)?;
    let again = device.insert(&share.grants)?;
    let mapping = device.map(again, PAGES, Protection::Read)?;
    assert_eq!(mapping.first_difference(2), None);

    domain.unpause()?;
    assert_eq!(agent.answer(&request, PATIENCE)?.output, "awake\n");
    assert_eq!(granter.first_difference(&share, 2)?, None);
    mapping.unmap()?;
    domain.destroy()?;
    Ok(())
}

fn saved(kind: Kind) -> Verdict {
    let (domain, agent, mut granter) = start(kind)?;
    let domid = domain.domid();
    let share = granter.share(PAGES, Access::ReadWrite)?;
    let device = Gntdev::open()?;
    let index = device.insert(&share.grants)?;
    let mapping = device.map(index, PAGES, Protection::ReadWrite)?;
    mapping.fill(3);
    let boot = agent.run("cat /proc/sys/kernel/random/boot_id")?;

    domain.save(SAVED)?;
    // The domain has gone but for the pages that are mapped here.
    assert_eq!(mapping.first_difference(3), None);
    assert!(domain::is_known(domid)?, "gone while its pages are mapped");
    mapping.unmap()?;
    device.remove(index, PAGES as u32)?;
    domain::wait_gone(domid)?;

    let domain = Domain::restore(kind, SAVED)?;
    fs::remove_file(SAVED)?;
    let domid = domain.domid();
    let agent = Agent::of(domid)?;
    let same_boot = agent.run("cat /proc/sys/kernel/random/boot_id")?;
    assert_eq!(same_boot, boot, "the domU was not restored but started");

    agent.run("killall granter; granter >/dev/null 2>&1 &")?;
    let mut granter = RemoteGranter::connect(domid)?;
    let share = granter.share(PAGES, Access::ReadWrite)?;
    granter.fill(&share, 4)?;
    let index = device.insert(&share.grants)?;
    let mapping = device.map(index, PAGES, Protection::ReadWrite)?;
    assert_eq!(mapping.first_difference(4), None);
    mapping.fill(5);
    assert_eq!(granter.first_difference(&share, 5)?, None);
    mapping.unmap()?;
    device.remove(index, PAGES as u32)?;
    domain.destroy()?;
    domain::wait_gone(domid)?;
    Ok(())
}
