// SPDX-License-Identifier: GPL-2.0

//! Users of a dma-buf, and its end with the last of them.

use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use guest_test::descriptor_passing;
use guest_test::errno::ETIMEDOUT;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use guest_test::process::in_child;
use guest_test::process::Child;
use guest_test::process::End;
use guest_test::signal::SIGKILL;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::memory_file::MemoryFile;
use xen_grants::GrantRef;

use super::buffers::assert_ends;
use super::buffers::exported;
use super::buffers::exported_as;
use super::buffers::imported;
use super::buffers::KINDS;
use super::buffers::LONG;
use super::buffers::NO_EXPORT;
use crate::granter::Access;
use crate::random::Random;
use crate::step::staying_child;
use crate::suite::rules;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::World;

rules![
    #[rule("a buffer survives the close of the device")]
    #[expect_c_differs(NO_EXPORT)]
    fn survives_device(world: &mut World) -> Verdict {
        for (flags, kind) in KINDS {
            let held = exported_as(world, flags, 3, 600)?;
            drop(held.device);
            assert_eq!(in_use(&held.share.grants)?, 3, "{kind} memory");
            let mapping = held.buffer.map(3)?;
            assert_eq!(mapping.first_difference(600), None, "{kind} memory");
            mapping.fill(601);
            world.assert_granter_sees(&held.share, 601);
            drop((mapping, held.buffer));
            assert_released(&held.share.grants);
        }
        Ok(())
    },

    #[rule("a buffer that closes first leaves the device usable")]
    #[expect_c_differs(NO_EXPORT)]
    fn closes_first(world: &mut World) -> Verdict {
        let held = exported(world, 3, 602)?;
        drop(held.buffer);
        assert_released(&held.share.grants);
        let domid = world.granter.domid();
        let buffer = held.device.export(0, domid, &held.share.references())?;
        assert_eq!(buffer.map(3)?.first_difference(602), None);
        Ok(())
    },

    #[rule("a mapping survives device and buffer")]
    #[expect_c_differs(NO_EXPORT)]
    fn mapping_survives(world: &mut World) -> Verdict {
        for (flags, kind) in KINDS {
            let held = exported_as(world, flags, 2, 603)?;
            let mapping = held.buffer.map(2)?;
            drop(held.device);
            drop(held.buffer);
            assert_eq!(mapping.first_difference(603), None, "{kind} memory");
            mapping.fill(604);
            world.assert_granter_sees(&held.share, 604);
            mapping.unmap()?;
            assert_released(&held.share.grants);
        }
        Ok(())
    },

    #[rule("a buffer goes with its last duplicate")]
    #[expect_c_differs(NO_EXPORT)]
    fn last_duplicate(world: &mut World) -> Verdict {
        let held = exported(world, 2, 605)?;
        let mut duplicates = vec![held.buffer];
        for _ in 0..5 {
            duplicates.push(duplicates[0].try_clone()?);
        }
        Random::new(11).shuffle(&mut duplicates);
        while let Some(buffer) = duplicates.pop() {
            assert_eq!(in_use(&held.share.grants)?, 2);
            assert_eq!(buffer.map(2)?.first_difference(605), None);
        }
        assert_released(&held.share.grants);
        Ok(())
    },

    /// The granter's kernel keeps the pages until the buffer has released them.
    #[rule("a buffer survives the granter's end of the grants")]
    #[expect_c_differs(NO_EXPORT)]
    fn granter_ends(world: &mut World) -> Verdict {
        let held = exported(world, 2, 606)?;
        let grants = held.share.grants.clone();
        world.granter.unshare(held.share)?;
        assert_eq!(in_use(&grants)?, 2);
        let mapping = held.buffer.map(2)?;
        assert_eq!(mapping.first_difference(606), None);
        drop((mapping, held.buffer));
        assert_released(&grants);
        Ok(())
    },

    #[rule("a buffer is passed to another process")]
    #[expect_c_differs(NO_EXPORT)]
    fn passed_on(world: &mut World) -> Verdict {
        let (ours, theirs) = UnixStream::pair()?;
        // The child is started before the buffer exists, so it does not inherit the descriptor.
        let mut child = Child::spawn(|| {
            let received = descriptor_passing::receive(&theirs).expect("a descriptor");
            let buffer = DmaBuf::from(received);
            let mapping = buffer.map(2).expect("map");
            assert_eq!(mapping.first_difference(607), None);
            mapping.fill(608);
            // Keeps the buffer until the parent has waited for it.
            (&theirs).read_exact(&mut [0]).expect("a word");
        })?;
        let held = exported(world, 2, 607)?;
        let number = held.buffer.number();
        descriptor_passing::send(&ours, held.buffer.as_fd())?;
        drop(held.buffer);
        let result = held.device.wait_released(number, 0);
        assert_error(result, ETIMEDOUT, "the child has it, or will");
        (&ours).write_all(&[0])?;
        assert_eq!(child.wait(PATIENCE)?, Some(End::Exited(0)));
        assert_ends(&held.device, number);
        world.assert_granter_sees(&held.share, 608);
        assert_released(&held.share.grants);
        Ok(())
    },

    /// The device's file closes with the child, before the buffer.
    #[rule("a buffer outlives the process that made it")]
    #[expect_c_differs(NO_EXPORT)]
    fn outlives_process(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        world.granter.fill(&share, 609)?;
        let domid = world.granter.domid();
        let (ours, theirs) = UnixStream::pair()?;
        let end = in_child(|| {
            let device = Gntdev::open().expect("open");
            let buffer = device
                .export(0, domid, &share.references())
                .expect("export");
            descriptor_passing::send(&theirs, buffer.as_fd()).expect("send");
        })?;
        assert_eq!(end, End::Exited(0));
        let buffer = DmaBuf::from(descriptor_passing::receive(&ours)?);
        assert_eq!(in_use(&share.grants)?, 2);
        let mapping = buffer.map(2)?;
        assert_eq!(mapping.first_difference(609), None);
        mapping.fill(610);
        world.assert_granter_sees(&share, 610);
        drop((mapping, buffer));
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("a buffer in a socket goes with the socket")]
    #[expect_c_differs(NO_EXPORT)]
    fn in_socket(world: &mut World) -> Verdict {
        let held = exported(world, 1, 611)?;
        let number = held.buffer.number();
        let (ours, theirs) = UnixStream::pair()?;
        descriptor_passing::send(&ours, held.buffer.as_fd())?;
        drop(held.buffer);
        let result = held.device.wait_released(number, 50);
        assert_error(result, ETIMEDOUT, "it is in the socket");
        drop((ours, theirs));
        assert_ends(&held.device, number);
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("a child's descriptor keeps the buffer")]
    #[expect_c_differs(NO_EXPORT)]
    fn child_keeps(world: &mut World) -> Verdict {
        let held = exported(world, 1, 612)?;
        let number = held.buffer.number();
        let mut child = Child::spawn(|| loop {
            thread::park();
        })?;
        drop(held.buffer);
        let result = held.device.wait_released(number, 50);
        assert_error(result, ETIMEDOUT, "the child has a copy");
        child.kill()?;
        let end = child.wait(PATIENCE)?;
        assert_eq!(end, Some(End::Signalled(SIGKILL)));
        assert_ends(&held.device, number);
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("a killed process leaves no buffer")]
    #[expect_c_differs(NO_EXPORT)]
    fn killed(world: &mut World) -> Verdict {
        let domid = world.granter.domid();
        for (flags, kind) in KINDS {
            let share = world.share(4)?;
            let mut child = staying_child(|report| {
                let device = Gntdev::open().expect("open");
                let buffer = device
                    .export(flags, domid, &share.references())
                    .expect("export");
                let mapping = buffer.map(4).expect("map");
                mapping.write(0, 1);
                report.send_and_stay();
            })?;
            assert_eq!(in_use(&share.grants)?, 4, "{kind} memory");
            child.kill()?;
            let end = child.wait(PATIENCE)?;
            assert_eq!(end, Some(End::Signalled(SIGKILL)), "{kind} memory");
            assert_released(&share.grants);
        }
        Ok(())
    },

    #[rule("a process that exits leaves no buffer")]
    #[expect_c_differs(NO_EXPORT)]
    fn exits(world: &mut World) -> Verdict {
        let share = world.share(3)?;
        let domid = world.granter.domid();
        let end = in_child(|| {
            let device = Gntdev::open().expect("open");
            let buffer = device
                .export(0, domid, &share.references())
                .expect("export");
            let mapping = buffer.map(3).expect("map");
            std::mem::forget((device, buffer, mapping));
        })?;
        assert_eq!(end, End::Exited(0));
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("a process killed at any moment of an export leaves nothing mapped")]
    #[expect_c_differs(NO_EXPORT)]
    fn killed_while_exporting(world: &mut World) -> Verdict {
        let share = world.share(8)?;
        let domid = world.granter.domid();
        kill_at_any_moment(12, || export_for_ever(domid, &share.grants))?;
        assert_released(&share.grants);

        // The next mapping works as if nothing had happened.
        let device = Gntdev::open()?;
        let buffer = device.export(0, domid, &share.references())?;
        buffer.map(8)?.fill(613);
        world.assert_granter_sees(&share, 613);
        Ok(())
    },

    #[rule("a process killed at any moment of an import leaves nothing granted")]
    fn killed_while_importing(world: &mut World) -> Verdict {
        const PAGES: usize = 8;
        let domid = world.granter.domid();
        let file = MemoryFile::new(PAGES)?;
        kill_at_any_moment(13, || {
            let device = Gntdev::open().expect("open");
            loop {
                let buffer = file.dma_buf().expect("a buffer");
                device.import(&buffer, domid, PAGES).expect("import");
                // Every other import ends with the close of the device.
                device.release_import(buffer.number()).expect("release");
                device.import(&buffer, domid, PAGES).expect("import");
            }
        })?;

        let held = imported(world, PAGES, 614)?;
        let peer = world.granter.map(&held.references, Access::ReadWrite)?;
        world.assert_granter_sees(&peer, 614);
        world.granter.unshare(peer)?;
        Ok(())
    }
];

/// Starts and kills 15 processes that call `body`, which does not return, each after a random time.
fn kill_at_any_moment(seed: u64, body: impl Fn()) -> Verdict {
    let mut random = Random::new(seed);
    for _ in 0..15 {
        let mut child = Child::spawn(&body)?;
        thread::sleep(Duration::from_micros(3000 + random.below(40_000) as u64));
        child.kill()?;
        let end = child.wait(PATIENCE)?;
        assert_eq!(end, Some(End::Signalled(SIGKILL)));
    }
    Ok(())
}

fn export_for_ever(domid: u32, grants: &[GrantRef]) {
    let device = Gntdev::open().expect("open");
    let references: Vec<u32> = grants.iter().map(|grant| grant.reference).collect();
    for count in (1..=grants.len()).cycle() {
        let (flags, _) = KINDS[count % KINDS.len()];
        let buffer = device
            .export(flags, domid, &references[..count])
            .expect("export");
        let mapping = buffer.map(count).expect("map");
        mapping.write(0, 1);
        let number = buffer.number();
        drop((mapping, buffer));
        let _ = device.wait_released(number, LONG);
    }
}
