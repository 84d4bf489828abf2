// SPDX-License-Identifier: GPL-2.0

//! QEMU's qdisk back end gives a domU a disk. It has several ways to the domU's pages, which it
//! chooses together with the front end:
//!
//! - by grant copy, when the grant device has it: QEMU tries when it starts;
//! - by mapping the grants of each request, when it has not. That is arranged
//!   by a preloaded library that denies it.
//! - The front end can use the same grants again and again ("persistent"). It
//!   does so when the back end offers it, which QEMU's does not of its own
//!   accord, but works with: to QEMU each request is as any other.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clients::agent::Agent;
use clients::blocks;
use clients::command::succeed;
use clients::disk;
use clients::disk::IMAGE;
use clients::domain;
use clients::domain::Kind;
use clients::limit::PATIENCE;
use clients::suite;
use clients::suite::Rule;
use guest_test::errno::ENOSPC;
use guest_test::ktap::Verdict;
use suites::granter::Granter;
use suites::granter::Share;
use suites::remote::RemoteGranter;

const MIB: usize = 64;

/// Preloaded, takes grant copy away.
const WITHOUT_COPY: &str = "/usr/local/lib/libwithout_grant_copy.so";
/// Its sign of life.
const DENIED: &str = "/run/grant-copy-denied";

/// The number of xvda in xenstore.
const XVDA: u32 = 51712;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Copy,
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grants {
    Fresh,
    Persistent,
}

fn main() -> ExitCode {
    let mut rules = Vec::new();
    for (kind, access, grants) in [
        (Kind::Pv, Access::Copy, Grants::Fresh),
        (Kind::Pv, Access::Copy, Grants::Persistent),
        (Kind::Pv, Access::Map, Grants::Fresh),
        (Kind::Pv, Access::Map, Grants::Persistent),
        (Kind::Pvh, Access::Copy, Grants::Persistent),
        (Kind::Pvh, Access::Map, Grants::Fresh),
    ] {
        let by = match access {
            Access::Copy => "by grant copy",
            Access::Map => "by mapping",
        };
        let with = match grants {
            Grants::Fresh => "new grants for each request",
            Grants::Persistent => "persistent grants",
        };
        rules.push(Rule::new(
            format!("a {kind} domU's {MIB} MiB of disk, {by}, {with}"),
            move || disk(kind, access, grants),
        ));
    }
    rules.push(Rule::new(
        "a PV domU's disk goes on after imports have taken all of its grant references",
        without_references,
    ));
    suite::run("client-disk", &rules)
}

fn disk(kind: Kind, access: Access, grants: Grants) -> Verdict {
    let mut plan = disk::plan(kind, MIB)?;
    if access == Access::Map {
        plan = plan.environment("LD_PRELOAD", WITHOUT_COPY);
    }
    let denied_before = Path::new(DENIED).exists();
    assert!(!denied_before, "{DENIED} is left from another case");
    let domain = plan.create_paused()?;
    let domid = domain.domid();
    if grants == Grants::Persistent {
        let node = format!("/local/domain/0/backend/qdisk/{domid}/{XVDA}/feature-persistent");
        succeed("xenstore-write", &[&node, "1"])?;
    }
    domain.unpause()?;

    let agent = Agent::of(domid)?;
    disk::connect(&agent)?;
    let message = agent.run("dmesg | grep 'blkfront: xvda'")?;
    let expected = match grants {
        Grants::Fresh => "persistent grants: disabled",
        Grants::Persistent => "persistent grants: enabled",
    };
    assert!(message.contains(expected), "{message}");
    let denied = Path::new(DENIED).exists();
    assert_eq!(
        denied,
        access == Access::Map,
        "whether QEMU was denied grant copy"
    );

    let seed = 20 + 2 * (access as u32) + grants as u32;
    agent
        .try_run(&format!("disk-check /dev/xvda {MIB} {seed}"))
        .map(|ended| assert_eq!(ended.status, 0, "in the domU: {}", ended.output))?;
    domain.destroy()?;
    domain::wait_gone(domid)?;

    // Dom0 reads the same as the domU wrote.
    blocks::check(Path::new(IMAGE), MIB, seed)?;
    fs::remove_file(IMAGE)?;
    if denied {
        fs::remove_file(DENIED)?;
    }
    Ok(())
}

/// The domU grants pages of files to dom0 until it has no reference left. Its disk, which takes
/// references for each request, waits then, and goes on when the files' are free again.
fn without_references() -> Verdict {
    /// 512 references each.
    const FRAMES: usize = 4;
    const SMALL: usize = 4;
    const SEED: u32 = 40;
    let plan = disk::plan(Kind::Pv, SMALL)?.line(&format!("max_grant_frames = {FRAMES}"));
    let domain = plan.create()?;
    let domid = domain.domid();
    let agent = Agent::of(domid)?;
    disk::connect(&agent)?;
    agent.run("granter >/dev/null 2>&1 &")?;
    let mut granter = RemoteGranter::connect(domid)?;
    let shares = take_references(&mut granter)?;
    let taken: usize = shares.iter().map(Share::pages).sum();
    println!("# imports took {taken} grant references");
    assert!(taken > (FRAMES - 1) * 512, "{taken} grant references");

    let request = agent.ask(&format!("disk-check /dev/xvda {SMALL} {SEED}"))?;
    let answer = agent.answer(&request, Duration::from_secs(2));
    assert!(answer.is_err(), "the disk works without references");
    for share in shares {
        granter.unshare(share)?;
    }
    let ended = agent.answer(&request, PATIENCE)?;
    assert_eq!(ended.status, 0, "in the domU: {}", ended.output);
    domain.destroy()?;
    domain::wait_gone(domid)?;
    blocks::check(Path::new(IMAGE), SMALL, SEED)?;
    fs::remove_file(IMAGE)?;
    Ok(())
}

/// Has files imported, smaller ones from time to time, until there is no reference for one page.
fn take_references(granter: &mut RemoteGranter) -> io::Result<Vec<Share>> {
    let mut shares = Vec::new();
    for pages in [128, 32, 8, 1] {
        let error = loop {
            match granter.share_file(pages) {
                Ok(share) => shares.push(share),
                Err(error) => break error,
            }
        };
        let expected = io::Error::from_raw_os_error(ENOSPC).to_string();
        if !error.to_string().contains(&expected) {
            return Err(error);
        }
    }
    Ok(shares)
}
