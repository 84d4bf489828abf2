// SPDX-License-Identifier: GPL-2.0

//! A domU with a disk that QEMU serves: its data, and its death amid I/O.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clients::agent::Agent;
use clients::blocks;
use clients::disk;
use clients::disk::IMAGE;
use clients::domain;
use clients::domain::Kind;
use guest_test::gntdev::Gntdev;
use guest_test::pattern::Pattern;
use suites::granter::Access;
use suites::granter::Granter;
use suites::random::Random;
use suites::remote::RemoteGranter;
use xen_grants::mapping::Protection;

use crate::peer;

/// Size of the disk, in MiB.
const DISK: usize = 64;
/// Part of the disk that is checked, in MiB.
pub const CHECKED: usize = 8;

/// Pages of the domU's that are mapped when it dies.
const PAGES: usize = 8;

/// Preloaded, takes grant copy away from QEMU, which then maps the grants of each request.
const WITHOUT_COPY: &str = "/usr/local/lib/libwithout_grant_copy.so";
/// File that the library makes when it is asked for a grant copy.
const DENIED: &str = "/run/grant-copy-denied";

/// Longest life of the domU after the I/O has begun, in ms.
const LONGEST: usize = 500;

/// The domU fills a part of its disk, by grant copy or by mapping, and dom0 finds the same there.
/// Then the domU is destroyed while it writes to the disk, and while dom0 writes to pages of it.
pub fn disk_and_death(seed: u32, by_mapping: bool) -> io::Result<()> {
    // A round that has failed may have left it.
    match fs::remove_file(DENIED) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let mut plan = peer::plan(disk::plan(Kind::Pv, DISK)?);
    if by_mapping {
        plan = plan.environment("LD_PRELOAD", WITHOUT_COPY);
    }
    let domain = plan.create()?;
    let domid = domain.domid();
    let agent = Agent::of(domid)?;
    disk::connect(&agent)?;
    agent.run(&format!("disk-check /dev/xvda {CHECKED} {seed}"))?;
    if Path::new(DENIED).exists() != by_mapping {
        return Err(io::Error::other(
            "QEMU's way to the grants is the other one",
        ));
    }
    blocks::check(Path::new(IMAGE), CHECKED, seed)?;

    agent.run("granter >/dev/null 2>&1 &")?;
    let share = RemoteGranter::connect(domid)?.share(PAGES, Access::ReadWrite)?;
    let device = Gntdev::open()?;
    let index = device.insert(&share.grants)?;
    let mapping = device.map(index, PAGES, Protection::ReadWrite)?;
    let life = Duration::from_millis(Random::new(seed.into()).below(LONGEST) as u64);
    let dead = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !dead.load(Ordering::Relaxed) {
                mapping.fill(seed);
            }
        });
        // Nobody waits for the answer: the domU dies first.
        let asked = agent.ask(&format!("disk-check /dev/xvda {DISK} {}", seed + 1));
        thread::sleep(life);
        let destroyed = domain.destroy();
        dead.store(true, Ordering::Relaxed);
        asked.and(destroyed)
    })?;

    // The pages stay as long as they are mapped here.
    if !domain::is_known(domid)? {
        return Err(io::Error::other(
            "the domU is gone while its pages are mapped",
        ));
    }
    mapping.fill(seed + 2);
    if let Some(at) = mapping.first_difference(seed + 2) {
        return Err(io::Error::other(format!(
            "byte {at} of a dead domU's pages is another one"
        )));
    }
    mapping.unmap()?;
    drop(device);
    domain::wait_gone(domid)?;
    fs::remove_file(IMAGE)
}
