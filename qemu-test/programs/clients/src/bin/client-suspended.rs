// SPDX-License-Identifier: GPL-2.0

//! Suspension of the machine to RAM while dom0 has grants of a domU mapped.
//!
//! The hypervisor keeps the mappings. Afterwards both domains see each other's writes at the same
//! addresses, more grants can be mapped, and the end of the mappings ends the grants.

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use clients::agent::Agent;
use clients::domain;
use clients::domain::Kind;
use clients::domain::Plan;
use clients::suite;
use clients::suite::Rule;
use clients::suspend;
use guest_test::errno::EINTR;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use suites::granter::Access;
use suites::granter::Granter;
use suites::granter::Share;
use suites::remote::RemoteGranter;
use suites::task::Task;
use suites::wait::PATIENCE;
use suites::world::assert_error;
use suites::world::assert_released;
use xen_grants::bytes::Bytes;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;

const PAGES: usize = 8;

const NO_EXPORT: &str = "refuses exports in PV domains";

fn main() -> ExitCode {
    let rules = [
        Rule::new(
            "a region of a PV domU's grants stays mapped while the machine is suspended to RAM",
            || region(RemoteGranter::domid_of_domu()?),
        ),
        Rule::new(
            "a region of a PVH domU's grants stays mapped while the machine is suspended to RAM",
            region_of_pvh,
        ),
        Rule::new(
            "a dma-buf of a PV domU's grants stays mapped while the machine is suspended to RAM, \
             and a wait for its release ends with EINTR",
            dma_buf,
        )
        .expect_c_differs(NO_EXPORT),
    ];
    suite::run("client-suspended", &rules)
}

fn region_of_pvh() -> Verdict {
    let domain = Plan::with_agent(Kind::Pvh).create()?;
    let domid = domain.domid();
    region(domid)?;
    domain.destroy()?;
    domain::wait_gone(domid)?;
    Ok(())
}

fn region(domid: u32) -> Verdict {
    let mut granter = granter_of(domid)?;
    let before = Region::map(&mut granter)?;
    write_both(&mut granter, &before.share, &before.mapping, 1)?;

    suspend::to_ram()?;
    assert_eq!(before.mapping.first_difference(2), None);
    write_both(&mut granter, &before.share, &before.mapping, 3)?;
    let after = Region::map(&mut granter)?;
    write_both(&mut granter, &after.share, &after.mapping, 5)?;
    before.unmap()?;
    write_both(&mut granter, &after.share, &after.mapping, 7)?;
    after.unmap()?;
    Ok(())
}

fn dma_buf() -> Verdict {
    let mut granter = granter_of(RemoteGranter::domid_of_domu()?)?;
    let before = Export::make(&mut granter)?;
    write_both(&mut granter, &before.share, &before.mapping, 11)?;

    let result = while_waiting(&before, suspend::to_ram)?;
    assert_error(result, EINTR, "the wait during the suspension");
    assert_eq!(before.mapping.first_difference(12), None);
    write_both(&mut granter, &before.share, &before.mapping, 13)?;
    let after = Export::make(&mut granter)?;
    write_both(&mut granter, &after.share, &after.mapping, 15)?;
    before.release()?;
    write_both(&mut granter, &after.share, &after.mapping, 17)?;
    after.release()?;
    Ok(())
}

/// Starts a granter in domain `domid`, in which an agent runs, and ends that of an earlier rule.
fn granter_of(domid: u32) -> io::Result<RemoteGranter> {
    Agent::of(domid)?.run("killall -q granter; granter >/dev/null 2>&1 &")?;
    RemoteGranter::connect(domid)
}

/// The domU writes a pattern and dom0 reads it at `bytes`, then the other way round with the next
/// pattern.
fn write_both(
    granter: &mut RemoteGranter,
    share: &Share,
    bytes: &Bytes,
    seed: u32,
) -> io::Result<()> {
    granter.fill(share, seed)?;
    assert_eq!(bytes.first_difference(seed), None, "seen from dom0");
    bytes.fill(seed + 1);
    let difference = granter.first_difference(share, seed + 1)?;
    assert_eq!(difference, None, "seen from the domU");
    Ok(())
}

/// Runs `work` while a thread waits for the release of `export`, and returns the result of the
/// wait.
fn while_waiting(
    export: &Export,
    work: impl FnOnce() -> io::Result<()>,
) -> io::Result<io::Result<()>> {
    thread::scope(|scope| {
        let (sender, tasks) = mpsc::channel();
        let waiter = scope.spawn(move || {
            sender.send(Task::current()?).expect("the receiver waits");
            export.wait()
        });
        let task = tasks.recv().map_err(io::Error::other)?;
        task.wait_until_asleep_on(export.device.file())?;
        work()?;
        Ok(waiter.join().expect("a waiter"))
    })
}

/// Pages of a domU, mapped by the device itself.
struct Region {
    device: Gntdev,
    index: u64,
    share: Share,
    mapping: Mapping,
}

impl Region {
    fn map(granter: &mut RemoteGranter) -> io::Result<Self> {
        let share = granter.share(PAGES, Access::ReadWrite)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let mapping = device.map(index, PAGES, Protection::ReadWrite)?;
        Ok(Self {
            device,
            index,
            share,
            mapping,
        })
    }

    fn unmap(self) -> io::Result<()> {
        self.mapping.unmap()?;
        self.device.remove(self.index, PAGES as u32)?;
        assert_released(&self.share.grants);
        Ok(())
    }
}

/// Pages of a domU as a dma-buf, which is mapped.
struct Export {
    device: Gntdev,
    share: Share,
    buffer: DmaBuf,
    mapping: Mapping,
}

impl Export {
    fn make(granter: &mut RemoteGranter) -> io::Result<Self> {
        let share = granter.share(PAGES, Access::ReadWrite)?;
        let device = Gntdev::open()?;
        let buffer = device.export(0, granter.domid(), &share.references())?;
        let mapping = buffer.map(PAGES)?;
        Ok(Self {
            device,
            share,
            buffer,
            mapping,
        })
    }

    /// Waits for the release.
    fn wait(&self) -> io::Result<()> {
        let limit = PATIENCE.as_millis() as u32;
        self.device.wait_released(self.buffer.number(), limit)
    }

    fn release(self) -> io::Result<()> {
        self.mapping.unmap()?;
        drop(self.buffer);
        assert_released(&self.share.grants);
        Ok(())
    }
}
