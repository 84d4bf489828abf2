// SPDX-License-Identifier: GPL-2.0

//! Mappings that end in parts, belong to two processes or cannot be written.

use std::io;

use guest_test::errno::EINVAL;
use guest_test::event_channel::Loopback;
use guest_test::gntdev::notify::CLEAR_BYTE;
use guest_test::gntdev::notify::SEND_EVENT;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::mapping::Pipe;
use guest_test::platform::Driver;
use guest_test::process::Child;
use guest_test::process::End;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use super::held::ALIVE;
use super::held::BYTE;
use super::held::SILENCE;
use crate::granter::Access;
use crate::granter::BEYOND_TABLE;
use crate::step::step;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::Mapped;
use crate::world::World;

rules![
    #[rule("munmap of the byte's page clears it at once on PV")]
    fn partial_unmap_paravirtual(world: &mut World) -> Verdict {
        if !world.is_paravirtual() {
            return skip_case("an auto-translated domain unmaps all of a region together");
        }
        let channel = Loopback::open(DOM0)?;
        let mut held = three_pages(world, &channel)?;
        let mut middle = held.mapping.split_off(1);
        let last = middle.split_off(1);
        held.mapping.split_off(0).unmap()?;
        assert_eq!(world.granter.read(&held.share, BYTE)?, ALIVE);
        middle.unmap()?;
        assert_eq!(world.granter.read(&held.share, BYTE)?, 0);
        assert!(!channel.wait(SILENCE)?, "an event while a page is mapped");

        // The byte is cleared once only.
        world.granter.write(&held.share, BYTE, ALIVE)?;
        last.unmap()?;
        held.device.remove(held.index, 3)?;
        assert!(channel.wait(PATIENCE)?, "no event");
        assert_eq!(world.granter.read(&held.share, BYTE)?, ALIVE);
        Ok(())
    },

    /// The page has left the process, but its grant is in use until munmap.
    #[rule("a page that madvise or mprotect takes from the process is not told of before its end")]
    #[expect_c_differs_on_pv("clears the byte at madvise and mprotect")]
    fn taken_from_process(world: &mut World) -> Verdict {
        let changes: [fn(&Mapping) -> io::Result<()>; 2] = [Mapping::discard, |mapping| {
            mapping.protect(Protection::Read)
        }];
        for change in changes {
            let channel = Loopback::open(DOM0)?;
            let mut held = three_pages(world, &channel)?;
            let mut middle = held.mapping.split_off(1);
            let last = middle.split_off(1);
            change(&middle)?;
            let page = &held.share.grants[1..2];
            assert_eq!(in_use(page)?, 1, "in use after the change");
            assert_eq!(world.granter.read(&held.share, BYTE)?, ALIVE);
            middle.unmap()?;
            if world.is_paravirtual() {
                assert_eq!(in_use(page)?, 0, "in use after munmap");
                assert_eq!(world.granter.read(&held.share, BYTE)?, 0);
            }
            assert!(!channel.wait(SILENCE)?, "an event while a page is mapped");
            last.unmap()?;
            held.mapping.unmap()?;
            held.device.remove(held.index, 3)?;
            assert!(channel.wait(PATIENCE)?, "no event");
            assert_eq!(world.granter.read(&held.share, BYTE)?, 0);
        }
        Ok(())
    },

    #[rule("munmap of a part clears nothing on auto-translated domains")]
    fn partial_unmap_auto_translated(world: &mut World) -> Verdict {
        if world.is_paravirtual() {
            return skip_case("a paravirtual domain unmaps each page by itself");
        }
        let channel = Loopback::open(DOM0)?;
        let mut held = three_pages(world, &channel)?;
        let mut middle = held.mapping.split_off(1);
        let last = middle.split_off(1);
        middle.unmap()?;
        held.device.remove(held.index, 3)?;
        assert_eq!(world.granter.read(&held.share, BYTE)?, ALIVE);
        held.mapping.split_off(0).unmap()?;
        assert_eq!(world.granter.read(&held.share, BYTE)?, ALIVE);
        assert!(!channel.wait(SILENCE)?, "an event while a page is mapped");
        last.unmap()?;
        assert!(channel.wait(PATIENCE)?, "no event");
        assert_eq!(world.granter.read(&held.share, BYTE)?, 0);
        Ok(())
    },

    #[rule("a child process's copy of the mapping puts the notification off")]
    fn forked(world: &mut World) -> Verdict {
        if world.is_paravirtual() {
            return skip_case("a paravirtual mapping is not copied to a child");
        }
        let channel = Loopback::open(DOM0)?;
        let held = three_pages(world, &channel)?;
        let mapping = &held.mapping;
        let (report, unmapped) = step()?;
        let mut child = Child::spawn(|| {
            unmapped.wait().expect("the parent's step");
            assert_eq!(mapping.read(0), ALIVE);
        })?;
        held.mapping.unmap()?;
        // The child has the device's file open, too.
        held.device.remove(held.index, 3)?;
        assert!(!channel.wait(SILENCE)?, "an event while the child has it");
        assert_eq!(world.granter.read(&held.share, BYTE)?, ALIVE);
        world.granter.write(&held.share, 0, ALIVE)?;
        report.send()?;
        assert_eq!(child.wait(PATIENCE)?, Some(End::Exited(0)));
        assert!(channel.wait(PATIENCE)?, "no event");
        assert_eq!(world.granter.read(&held.share, BYTE)?, 0);
        Ok(())
    },

    /// In a paravirtual domain munmap has unmapped the grants, so the byte cannot be cleared.
    #[rule("actions can be set between munmap and removal")]
    fn set_after_unmap(world: &mut World) -> Verdict {
        let mut held = world.mapped(1, 130)?;
        held.mapping.write(3, ALIVE);
        held.mapping.split_off(0).unmap()?;
        let channel = Loopback::open(DOM0)?;
        let action = CLEAR_BYTE | SEND_EVENT;
        held.device
            .set_notify(held.index + 3, action, channel.port())?;
        assert!(!channel.wait(SILENCE)?, "an event too early");
        held.device.remove(held.index, 1)?;
        assert!(channel.wait(PATIENCE)?, "no event");
        let expected = if world.is_paravirtual() { ALIVE } else { 0 };
        assert_eq!(world.granter.read(&held.share, 3)?, expected);
        Ok(())
    },

    /// The kernel keeps the page mapped for the pipe until the region ends.
    #[rule("munmap of other memory at a region's former addresses clears nothing")]
    fn other_memory(world: &mut World) -> Verdict {
        if world.is_paravirtual() && world.driver == Driver::C {
            return skip_case("the C driver unmaps a page that is in use");
        }
        let held = world.mapped(1, 131)?;
        held.mapping.write(3, ALIVE);
        let mut pipe = Pipe::new()?;
        let count = pipe.take_pages(&held.mapping)?;
        held.mapping.replace()?;
        held.device.set_notify(held.index + 3, CLEAR_BYTE, 0)?;
        held.mapping.unmap()?;
        assert_eq!(world.granter.read(&held.share, 3)?, ALIVE);

        pipe.read(count)?;
        held.device.remove(held.index, 1)?;
        assert_eq!(world.granter.read(&held.share, 3)?, 0);
        Ok(())
    },

    #[rule("clearing a byte of a read-only mapping is EINVAL")]
    fn read_only_mapping(world: &mut World) -> Verdict {
        let share = world.granter.share(1, Access::ReadOnly)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let mapping = device.map(index, 1, Protection::Read)?;
        let channel = Loopback::open(DOM0)?;
        for action in [CLEAR_BYTE, CLEAR_BYTE | SEND_EVENT] {
            let result = device.set_notify(index, action, channel.port());
            assert_error(result, EINVAL, &format!("action {action}"));
        }
        device.set_notify(index, SEND_EVENT, channel.port())?;
        mapping.unmap()?;
        device.remove(index, 1)?;
        assert!(channel.wait(PATIENCE)?, "no event");

        let table = GrantTable::open()?;
        let result = table.map_notify(share.grants[0], Protection::Read, Some(0), None);
        assert_error(result.map(drop), EINVAL, "libxengnttab");
        Ok(())
    },

    #[rule("the byte of a grant that came to be mapped read-only is left alone")]
    fn read_only_afterwards(world: &mut World) -> Verdict {
        if world.driver == Driver::C {
            return skip_case("the C driver writes to the read-only page and the kernel dies");
        }
        let share = world.granter.share(2, Access::ReadOnly)?;
        world.granter.write(&share, PAGE_SIZE + 1, ALIVE)?;
        let channel = Loopback::open(DOM0)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let byte = index + PAGE_SIZE as u64 + 1;
        device.set_notify(byte, CLEAR_BYTE | SEND_EVENT, channel.port())?;
        let mapping = device.map(index, 2, Protection::Read)?;
        mapping.unmap()?;
        device.remove(index, 2)?;
        assert!(channel.wait(PATIENCE)?, "no event");
        assert_eq!(world.granter.read(&share, PAGE_SIZE + 1)?, ALIVE);
        Ok(())
    },

    #[rule("the byte of a region that could not be mapped is left alone")]
    fn failed_mapping(world: &mut World) -> Verdict {
        if world.driver == Driver::C {
            return skip_case(
                "the C driver writes to the page that is not there and the kernel dies",
            );
        }
        let share = world.share(2)?;
        let missing = GrantRef {
            domid: world.granter.domid(),
            reference: BEYOND_TABLE,
        };
        for bad in 0..3 {
            let mut grants = share.grants.clone();
            grants.insert(bad, missing);
            let channel = Loopback::open(DOM0)?;
            let device = Gntdev::open()?;
            let index = device.insert(&grants)?;
            let byte = index + PAGE_SIZE as u64;
            device.set_notify(byte, CLEAR_BYTE | SEND_EVENT, channel.port())?;
            let result = device.map(index, 3, Protection::ReadWrite);
            assert_error(result, EINVAL, "a bad reference");
            drop(device);
            assert!(channel.wait(PATIENCE)?, "no event");
        }
        assert_released(&share.grants);
        Ok(())
    }
];

/// Maps three pages with an action on byte [`BYTE`].
fn three_pages(world: &mut World, channel: &Loopback) -> io::Result<Mapped> {
    let held = world.mapped(3, 129)?;
    held.mapping.write(BYTE, ALIVE);
    let index = held.index + BYTE as u64;
    let action = CLEAR_BYTE | SEND_EVENT;
    held.device.set_notify(index, action, channel.port())?;
    Ok(held)
}
