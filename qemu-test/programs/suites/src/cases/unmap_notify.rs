// SPDX-License-Identifier: GPL-2.0

//! What the granter learns when its page is unmapped: a byte is cleared, an
//! event is sent. It is how the end of a channel is noticed, in whatever way
//! the program at the other end went.

use std::io;
use std::thread;
use std::time::Duration;

use xen_guest::bytes::pattern;
use xen_guest::errno::EFAULT;
use xen_guest::errno::EINVAL;
use xen_guest::errno::ENOENT;
use xen_guest::event_channel::open_ports;
use xen_guest::event_channel::Loopback;
use xen_guest::event_channel::Use;
use xen_guest::gntdev::notify::CLEAR_BYTE;
use xen_guest::gntdev::notify::SEND_EVENT;
use xen_guest::gntdev::BadAddress;
use xen_guest::gntdev::Gntdev;
use xen_guest::gntdev::GrantRef;
use xen_guest::gntdev::Request;
use xen_guest::grant_table::GrantTable;
use xen_guest::ktap::Verdict;
use xen_guest::mapping::Protection;
use xen_guest::platform::Driver;
use xen_guest::process::in_child;
use xen_guest::process::Child;
use xen_guest::process::End;
use xen_guest::signal::SIGKILL;
use xen_guest::PAGE_SIZE;

use crate::granter::Access;
use crate::granter::Share;
use crate::random::Random;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::settled;
use crate::world::Mapped;
use crate::world::World;
use crate::world::DOM0;

/// Longer than any event takes that comes at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough for an event that should not come.
const SILENCE: Duration = Duration::from_millis(100);

/// What the byte is before it is cleared.
const ALIVE: u8 = 0xa5;

/// A byte in the second page of three.
const BYTE: usize = PAGE_SIZE + 77;

/// Ways in which the last use of a region ends.
#[derive(Clone, Copy, Debug)]
enum Way {
    UnmapThenRemove,
    RemoveThenUnmap,
    CloseThenUnmap,
    UnmapThenClose,
    Exit,
    Kill,
}

const WAYS: [Way; 6] = [
    Way::UnmapThenRemove,
    Way::RemoveThenUnmap,
    Way::CloseThenUnmap,
    Way::UnmapThenClose,
    Way::Exit,
    Way::Kill,
];

rules![
    #[rule("the byte is cleared in whatever way the region ends")]
    fn byte_cleared(world: &mut World) -> Verdict {
        in_each_way(world, CLEAR_BYTE)
    },

    #[rule("an event is sent in whatever way the region ends")]
    fn event_sent(world: &mut World) -> Verdict {
        in_each_way(world, SEND_EVENT)
    },

    #[rule("a byte is cleared and an event sent together")]
    fn both(world: &mut World) -> Verdict {
        in_each_way(world, CLEAR_BYTE | SEND_EVENT)
    },

    #[rule("libxengnttab's notify clears the byte and sends the event")]
    fn through_library(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let table = GrantTable::open()?;
        for (byte, send) in [(Some(0), true), (Some(4095), false), (None, true)] {
            world.granter.fill(&share, 121)?;
            let at = byte.unwrap_or(0) as usize;
            world.granter.write(&share, at, ALIVE)?;
            let channel = Loopback::open(DOM0)?;
            let port = send.then_some(channel.port());
            let mapping = table.map_notify(share.grants[0], Protection::ReadWrite, byte, port)?;
            assert_eq!(mapping.read(at), ALIVE);
            assert!(!channel.wait(SILENCE)?, "an event while mapped");
            mapping.unmap()?;

            let limit = if send { PATIENCE } else { SILENCE };
            assert_eq!(channel.wait(limit)?, send, "byte {byte:?}");
            let expected = if byte.is_some() { 0 } else { ALIVE };
            assert_eq!(world.granter.read(&share, at)?, expected, "byte {byte:?}");
        }
        Ok(())
    },

    /// There is no mapping through which the byte could be cleared.
    #[rule("a region that was never mapped sends its event when removed")]
    fn never_mapped(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.write(&share, 9, ALIVE)?;
        for close in [false, true] {
            let channel = Loopback::open(DOM0)?;
            let device = Gntdev::open()?;
            let index = device.insert(&share.grants)?;
            device.set_notify(index + 9, CLEAR_BYTE | SEND_EVENT, channel.port())?;
            assert!(!channel.wait(SILENCE)?, "an event too early");
            if close {
                drop(device);
            } else {
                device.remove(index, 1)?;
            }
            assert!(channel.wait(PATIENCE)?, "no event");
        }
        assert_eq!(world.granter.read(&share, 9)?, ALIVE);
        Ok(())
    },

    /// The granter may use the page for something else as soon as it hears.
    #[rule("an event arrives when the grants are unmapped")]
    fn event_after_unmap(world: &mut World) -> Verdict {
        for way in WAYS {
            let share = world.share(64)?;
            let channel = Loopback::open(DOM0)?;
            let port = channel.port();
            map_and_end(&share, SEND_EVENT, port, way)?;
            assert!(channel.wait(PATIENCE)?, "{way:?}: no event");
            assert_eq!(in_use(&share.grants)?, 0, "{way:?}");
            world.granter.unshare(share)?;
        }
        Ok(())
    },

    #[rule("the second call replaces the first and lets go of its channel")]
    fn replaced(world: &mut World) -> Verdict {
        let held = world.mapped(1, 122)?;
        let (first, second) = (Loopback::open(DOM0)?, Loopback::open(DOM0)?);
        let first_port = first.port();
        let action = CLEAR_BYTE | SEND_EVENT;
        held.device.set_notify(held.index + 5, action, first_port)?;
        let first = first.close_sender();
        assert!(is_open(first_port)?, "the region holds the first channel");
        held.device
            .set_notify(held.index + 9, action, second.port())?;
        assert!(!is_open(first_port)?, "the first channel is still open");

        let before = held.mapping.read(5);
        let share = end(held)?;
        assert!(second.wait(PATIENCE)?, "no event");
        assert!(!first.wait(SILENCE)?, "an event on the first channel");
        assert_eq!(world.granter.read(&share, 5)?, before);
        assert_eq!(world.granter.read(&share, 9)?, 0);
        Ok(())
    },

    #[rule("a call without actions withdraws them")]
    fn withdrawn(world: &mut World) -> Verdict {
        let held = world.mapped(1, 123)?;
        let channel = Loopback::open(DOM0)?;
        let port = channel.port();
        held.device
            .set_notify(held.index + 5, CLEAR_BYTE | SEND_EVENT, port)?;
        held.device.set_notify(held.index, 0, 0)?;
        let receiver = channel.close_sender();
        assert!(!is_open(port)?, "the channel is still open");
        let share = end(held)?;
        assert!(!receiver.wait(SILENCE)?, "an event");
        world.assert_granter_sees(&share, 123);
        Ok(())
    },

    #[rule("a call that fails leaves the actions as they were")]
    fn failed(world: &mut World) -> Verdict {
        let held = world.mapped(1, 124)?;
        let (channel, other) = (Loopback::open(DOM0)?, Loopback::open(DOM0)?);
        let action = CLEAR_BYTE | SEND_EVENT;
        held.device
            .set_notify(held.index + 5, action, channel.port())?;
        let beyond = held.index + PAGE_SIZE as u64;
        let result = held.device.set_notify(beyond, action, other.port());
        assert_error(result, ENOENT, "another index");
        let result = held.device.set_notify(held.index, 4, other.port());
        assert_error(result, EINVAL, "another action");

        // The calls that failed hold nothing.
        let other_port = other.port();
        let other = other.close_sender();
        assert!(!is_open(other_port)?, "the other channel is still open");
        let share = end(held)?;
        assert!(channel.wait(PATIENCE)?, "no event");
        assert!(!other.wait(SILENCE)?, "an event on the other channel");
        assert_eq!(world.granter.read(&share, 5)?, 0);
        Ok(())
    },

    #[rule("a channel that the program closed still delivers")]
    fn channel_closed_before(world: &mut World) -> Verdict {
        let held = world.mapped(2, 125)?;
        let channel = Loopback::open(DOM0)?;
        held.device
            .set_notify(held.index, SEND_EVENT, channel.port())?;
        let receiver = channel.close_sender();
        assert!(!receiver.wait(SILENCE)?, "an event when the program closes");
        end(held)?;
        assert!(receiver.wait(PATIENCE)?, "no event");
        Ok(())
    },

    #[rule("the byte can be changed when the region alone holds the channel")]
    fn channel_held_by_region(world: &mut World) -> Verdict {
        let held = world.mapped(1, 126)?;
        let channel = Loopback::open(DOM0)?;
        let port = channel.port();
        let action = CLEAR_BYTE | SEND_EVENT;
        held.device.set_notify(held.index + 5, action, port)?;
        let receiver = channel.close_sender();
        held.device.set_notify(held.index + 9, action, port)?;
        let before = held.mapping.read(5);
        let share = end(held)?;
        assert!(receiver.wait(PATIENCE)?, "no event");
        assert_eq!(world.granter.read(&share, 5)?, before);
        assert_eq!(world.granter.read(&share, 9)?, 0);
        Ok(())
    },

    #[rule("a region lets go of its channel when it ends")]
    fn channel_released(world: &mut World) -> Verdict {
        let held = world.mapped(1, 127)?;
        let channel = Loopback::open(DOM0)?;
        let port = channel.port();
        held.device.set_notify(held.index, SEND_EVENT, port)?;
        let receiver = channel.close_sender();
        assert!(is_open(port)?, "the region holds the channel");
        end(held)?;
        assert!(receiver.wait(PATIENCE)?, "no event");
        assert!(!is_open(port)?, "the channel is still open");
        Ok(())
    },

    #[rule("a region at the index of a removed one has no actions")]
    fn next_region_at_index(world: &mut World) -> Verdict {
        let mut held = world.mapped(1, 128)?;
        let channel = Loopback::open(DOM0)?;
        held.device
            .set_notify(held.index, CLEAR_BYTE | SEND_EVENT, channel.port())?;
        held.device.remove(held.index, 1)?;
        assert_eq!(held.device.insert(&held.share.grants)?, held.index);
        // The first region's end, which its removal alone was not.
        assert!(!channel.wait(SILENCE)?, "an event while mapped");
        held.mapping.split_off(0).unmap()?;
        assert!(channel.wait(PATIENCE)?, "no event");

        world.granter.fill(&held.share, 128)?;
        let mapping = held.device.map(held.index, 1, Protection::ReadWrite)?;
        mapping.unmap()?;
        held.device.remove(held.index, 1)?;
        assert!(!channel.wait(SILENCE)?, "an event from the second region");
        world.assert_granter_sees(&held.share, 128);
        Ok(())
    },

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

        // Done once: what the granter writes now stays.
        world.granter.write(&held.share, BYTE, ALIVE)?;
        last.unmap()?;
        held.device.remove(held.index, 3)?;
        assert!(channel.wait(PATIENCE)?, "no event");
        assert_eq!(world.granter.read(&held.share, BYTE)?, ALIVE);
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
        let mut child = Child::spawn(|| {
            // The signal to go on: the granter writes.
            while mapping.read(0) != ALIVE {
                thread::sleep(Duration::from_millis(5));
            }
        })?;
        held.mapping.unmap()?;
        // The child has its file, too.
        held.device.remove(held.index, 3)?;
        assert!(!channel.wait(SILENCE)?, "an event while the child has it");
        assert_eq!(world.granter.read(&held.share, BYTE)?, ALIVE);
        world.granter.write(&held.share, 0, ALIVE)?;
        assert_eq!(child.wait(PATIENCE)?, Some(End::Exited(0)));
        assert!(channel.wait(PATIENCE)?, "no event");
        assert_eq!(world.granter.read(&held.share, BYTE)?, 0);
        Ok(())
    },

    /// On PV the grants went with munmap, and the byte is out of reach.
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
            reference: 0x00ff_fff0,
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
    },

    #[rule("unknown actions are EINVAL")]
    fn unknown_actions(world: &mut World) -> Verdict {
        let held = world.mapped(1, 131)?;
        let channel = Loopback::open(DOM0)?;
        for bit in 2..32 {
            for known in [0, CLEAR_BYTE, SEND_EVENT] {
                let action = (1 << bit) | known;
                let result = held.device.set_notify(held.index, action, channel.port());
                assert_error(result, EINVAL, &format!("action {action:#x}"));
            }
        }
        end(held)?;
        assert!(!channel.wait(SILENCE)?, "an event");
        Ok(())
    },

    #[rule("a port that is not open is EINVAL")]
    fn closed_port(world: &mut World) -> Verdict {
        let held = world.mapped(1, 132)?;
        let channel = Loopback::open(DOM0)?;
        let closed = channel.port();
        drop(channel);
        for port in [closed, 0, 4095, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            if is_open(port)? {
                return skip_case("another program has opened a port in the meantime");
            }
            let result = held.device.set_notify(held.index, SEND_EVENT, port);
            assert_error(result, EINVAL, &format!("port {port:#x}"));
            // Who sends no event can name any port.
            held.device.set_notify(held.index, CLEAR_BYTE, port)?;
        }
        Ok(())
    },

    #[rule("a port of the kernel's own is EINVAL")]
    fn kernel_port(world: &mut World) -> Verdict {
        const TIMER: Use = Use::VirtualIrq(0);
        let held = world.mapped(1, 133)?;
        let ports = open_ports()?;
        let Some((port, _)) = ports.iter().find(|(_, usage)| *usage == TIMER) else {
            return skip_case("this kernel has no event channel for a timer");
        };
        let result = held.device.set_notify(held.index, SEND_EVENT, *port);
        assert_error(result, EINVAL, "the timer's port");
        Ok(())
    },

    #[rule("an index without a region is ENOENT")]
    fn unknown_index(world: &mut World) -> Verdict {
        let held = world.mapped(2, 134)?;
        let size = 2 * PAGE_SIZE as u64;
        for index in [size, size + 1, 1 << 44, i64::MAX as u64, u64::MAX] {
            for action in [0, CLEAR_BYTE] {
                let result = held.device.set_notify(index, action, 0);
                assert_error(result, ENOENT, &format!("index {index:#x}"));
            }
        }
        held.device.set_notify(size - 1, CLEAR_BYTE, 0)?;
        held.device.remove(held.index, 2)?;
        let result = held.device.set_notify(held.index, CLEAR_BYTE, 0);
        assert_error(result, ENOENT, "a removed region");
        Ok(())
    },

    #[rule("an argument that cannot be read is EFAULT")]
    fn bad_pointer(world: &mut World) -> Verdict {
        let held = world.mapped(1, 135)?;
        for address in BadAddress::ALL {
            let result = held
                .device
                .request_at_bad_address(Request::SET_UNMAP_NOTIFY, address);
            assert_error(result, EFAULT, &format!("{address:?}"));
        }
        Ok(())
    },

    #[rule("threads that set actions at once lose no channel")]
    fn threads(world: &mut World) -> Verdict {
        const THREADS: usize = 8;
        let held = world.mapped(1, 136)?;
        let ports_before = open_ports()?.len();
        let channels: Vec<Loopback> = (0..THREADS)
            .map(|_| Loopback::open(DOM0))
            .collect::<io::Result<_>>()?;
        thread::scope(|scope| {
            for channel in &channels {
                let port = channel.port();
                let held = &held;
                scope.spawn(move || {
                    for round in 0..100 {
                        let index = held.index + round;
                        held.device
                            .set_notify(index, CLEAR_BYTE | SEND_EVENT, port)
                            .expect("set");
                    }
                });
            }
        });
        end(held)?;
        let mut events = 0;
        for channel in &channels {
            events += usize::from(channel.wait(SILENCE)?);
        }
        assert_eq!(events, 1, "the last call's event alone is sent");
        drop(channels);
        assert_eq!(open_ports()?.len(), ports_before, "open channels");
        Ok(())
    },

    /// Each time it has mapped the page, the child makes the byte one that must be
    /// cleared with the next unmapping, its own or the kernel's.
    #[rule("a process killed at any moment leaves its byte cleared")]
    fn killed_at_any_moment(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let grant = share.grants[0];
        let mut random = Random::new(5);
        for round in 0..30 {
            let mut child = Child::spawn(|| loop {
                let table = GrantTable::open().expect("open");
                let mapping = table
                    .map_notify(grant, Protection::ReadWrite, Some(11), None)
                    .expect("map");
                mapping.write(11, ALIVE);
                mapping.unmap().expect("unmap");
            })?;
            thread::sleep(Duration::from_micros(3000 + random.below(20_000) as u64));
            child.kill()?;
            assert_eq!(child.wait(PATIENCE)?, Some(End::Signalled(SIGKILL)));
            assert_eq!(world.granter.read(&share, 11)?, 0, "round {round}");
        }
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("300 notifications leave no channel behind")]
    fn rounds(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let ports_before = open_ports()?.len();
        let channel = Loopback::open(DOM0)?;
        let table = GrantTable::open()?;
        for round in 0..300 {
            let mapping = table.map_notify(
                share.grants[0],
                Protection::ReadWrite,
                Some(1),
                Some(channel.port()),
            )?;
            mapping.unmap()?;
            assert!(channel.wait(PATIENCE)?, "round {round}: no event");
        }
        drop(channel);
        assert_eq!(open_ports()?.len(), ports_before, "open channels");
        Ok(())
    }
];

/// Maps `share`, with `action` on byte [`BYTE`] and on `port`, and ends that.
fn map_and_end(share: &Share, action: u32, port: u32, way: Way) -> Verdict {
    let begin = || -> io::Result<_> {
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        device.set_notify(index + BYTE as u64, action, port)?;
        let mapping = device.map(index, share.pages(), Protection::ReadWrite)?;
        Ok((device, index, mapping))
    };
    let count = share.pages() as u32;
    match way {
        Way::UnmapThenRemove => {
            let (device, index, mapping) = begin()?;
            mapping.unmap()?;
            device.remove(index, count)?;
        }
        Way::RemoveThenUnmap => {
            let (device, index, mapping) = begin()?;
            device.remove(index, count)?;
            mapping.unmap()?;
        }
        Way::CloseThenUnmap => {
            let (device, _, mapping) = begin()?;
            drop(device);
            mapping.unmap()?;
        }
        Way::UnmapThenClose => {
            let (device, _, mapping) = begin()?;
            mapping.unmap()?;
            drop(device);
        }
        Way::Exit => {
            let end = in_child(|| std::mem::forget(begin().expect("map")))?;
            assert_eq!(end, End::Exited(0));
        }
        Way::Kill => {
            let mut child = Child::spawn(|| {
                let _held = begin().expect("map");
                loop {
                    thread::sleep(Duration::from_secs(1));
                }
            })?;
            let usage = settled(|usage| usage.count(&share.grants) == share.pages())?;
            assert_eq!(usage.count(&share.grants), share.pages());
            child.kill()?;
            let end = child.wait(PATIENCE)?;
            assert_eq!(end, Some(End::Signalled(SIGKILL)));
        }
    }
    Ok(())
}

/// Tries `action` with each way.
fn in_each_way(world: &mut World, action: u32) -> Verdict {
    for way in WAYS {
        let share = world.share(3)?;
        world.granter.fill(&share, 120)?;
        world.granter.write(&share, BYTE, ALIVE)?;
        let channel = Loopback::open(DOM0)?;
        map_and_end(&share, action, channel.port(), way)?;

        let sent = action & SEND_EVENT != 0;
        let limit = if sent { PATIENCE } else { SILENCE };
        assert_eq!(channel.wait(limit)?, sent, "{way:?}: event");
        assert!(!channel.wait(SILENCE)?, "{way:?}: another event");

        let cleared = action & CLEAR_BYTE != 0;
        let expected = if cleared { 0 } else { ALIVE };
        assert_eq!(world.granter.read(&share, BYTE)?, expected, "{way:?}");
        for at in [BYTE - 1, BYTE + 1, 77, 2 * PAGE_SIZE + 77] {
            let value = world.granter.read(&share, at)?;
            assert_eq!(value, pattern(120, at), "{way:?}: byte {at}");
        }
    }
    Ok(())
}

/// Ends a mapping's region altogether. What is left is the granter's.
fn end(held: Mapped) -> io::Result<Share> {
    held.mapping.unmap()?;
    held.device.remove(held.index, held.share.pages() as u32)?;
    Ok(held.share)
}

fn is_open(port: u32) -> io::Result<bool> {
    Ok(open_ports()?.iter().any(|(open, _)| *open == port))
}

/// Maps three pages with an action on byte [`BYTE`].
fn three_pages(world: &mut World, channel: &Loopback) -> io::Result<Mapped> {
    let held = world.mapped(3, 129)?;
    held.mapping.write(BYTE, ALIVE);
    let index = held.index + BYTE as u64;
    let action = CLEAR_BYTE | SEND_EVENT;
    held.device.set_notify(index, action, channel.port())?;
    Ok(held)
}
