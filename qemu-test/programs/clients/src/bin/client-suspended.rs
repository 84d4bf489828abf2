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
use suites::granter::Share;
use suites::remote::RemoteGranter;
use suites::task::Task;
use suites::wait::PATIENCE;
use suites::world::assert_error;
use suites::world::assert_released;
use suites::world::Mapped;
use suites::world::Source;
use suites::world::World;
use xen_grants::bytes::Bytes;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::mapping::Mapping;

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
    let mut world = world_of(domid)?;
    let before = world.mapped(PAGES, 0)?;
    write_both(&mut world, &before.share, &before.mapping, 1)?;

    suspend::to_ram()?;
    assert_eq!(before.mapping.first_difference(2), None);
    write_both(&mut world, &before.share, &before.mapping, 3)?;
    let after = world.mapped(PAGES, 0)?;
    write_both(&mut world, &after.share, &after.mapping, 5)?;
    unmap(before)?;
    write_both(&mut world, &after.share, &after.mapping, 7)?;
    unmap(after)?;
    Ok(())
}

fn dma_buf() -> Verdict {
    let mut world = world_of(RemoteGranter::domid_of_domu()?)?;
    let before = Export::make(&mut world)?;
    write_both(&mut world, &before.share, &before.mapping, 11)?;

    let result = while_waiting(&before, suspend::to_ram)?;
    assert_error(result, EINTR, "the wait during the suspension");
    assert_eq!(before.mapping.first_difference(12), None);
    write_both(&mut world, &before.share, &before.mapping, 13)?;
    let after = Export::make(&mut world)?;
    write_both(&mut world, &after.share, &after.mapping, 15)?;
    before.release()?;
    write_both(&mut world, &after.share, &after.mapping, 17)?;
    after.release()?;
    Ok(())
}

/// Starts a granter in domain `domid`, in which an agent runs, and ends that of an earlier rule.
fn world_of(domid: u32) -> io::Result<World> {
    Agent::of(domid)?.run("killall -q granter; granter >/dev/null 2>&1 &")?;
    World::new(Source::Domu(domid))
}

/// The domU writes a pattern and dom0 reads it at `bytes`, then the other way round with the next
/// pattern.
fn write_both(world: &mut World, share: &Share, bytes: &Bytes, seed: u32) -> io::Result<()> {
    world.granter.fill(share, seed)?;
    assert_eq!(bytes.first_difference(seed), None, "seen from dom0");
    bytes.fill(seed + 1);
    world.assert_granter_sees(share, seed + 1);
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

/// Unmaps the pages, and fails if one of them stays mapped.
fn unmap(held: Mapped) -> io::Result<()> {
    held.mapping.unmap()?;
    held.device.remove(held.index, PAGES as u32)?;
    assert_released(&held.share.grants);
    Ok(())
}

/// Pages of a domU as a dma-buf, which is mapped.
struct Export {
    device: Gntdev,
    share: Share,
    buffer: DmaBuf,
    mapping: Mapping,
}

impl Export {
    fn make(world: &mut World) -> io::Result<Self> {
        let share = world.share(PAGES)?;
        let device = Gntdev::open()?;
        let buffer = device.export(0, world.granter.domid(), &share.references())?;
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
