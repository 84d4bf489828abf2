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
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use clients::agent::Agent;
use clients::blocks;
use clients::command::succeed;
use clients::domain;
use clients::domain::Kind;
use clients::domain::Plan;
use clients::suite;
use clients::suite::Rule;
use guest_test::ktap::Verdict;

/// In a tmpfs, the only file system here that can do direct I/O.
const IMAGE: &str = "/run/disk.img";
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
    suite::run("client-disk", &rules)
}

fn disk(kind: Kind, access: Access, grants: Grants) -> Verdict {
    File::create(IMAGE)?.set_len((MIB << 20) as u64)?;
    let mut plan = Plan::with_agent(kind).line(&format!(
        "disk = [ \"format=raw,vdev=xvda,access=rw,backendtype=qdisk,target={IMAGE}\" ]"
    ));
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
    agent.run("insmod /lib/modules/xen-blkfront.ko")?;
    agent.run("for try in $(seq 100); do [ -e /dev/xvda ] && exit; sleep 0.1; done; exit 1")?;
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
