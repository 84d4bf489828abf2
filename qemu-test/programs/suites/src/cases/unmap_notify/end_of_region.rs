// SPDX-License-Identifier: GPL-2.0

//! Ways in which a region ends: each clears the byte and sends the event.

use std::io;

use guest_test::event_channel::Loopback;
use guest_test::gntdev::notify::CLEAR_BYTE;
use guest_test::gntdev::notify::SEND_EVENT;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::pattern;
use guest_test::process::in_child;
use guest_test::process::End;
use guest_test::signal::SIGKILL;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use super::held::ALIVE;
use super::held::BYTE;
use super::held::SILENCE;
use crate::granter::Share;
use crate::step::staying_child;
use crate::suite::rules;
use crate::wait::PATIENCE;
use crate::world::in_use;
use crate::world::World;

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

    /// The granter may reuse the page as soon as it gets the event.
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
    }
];

/// Maps `share`, with `action` on byte [`BYTE`] and on `port`, and ends the mapping.
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
            let mut child = staying_child(|report| {
                let _held = begin().expect("map");
                report.send_and_stay();
            })?;
            assert_eq!(in_use(&share.grants)?, share.pages());
            child.kill()?;
            let end = child.wait(PATIENCE)?;
            assert_eq!(end, Some(End::Signalled(SIGKILL)));
        }
    }
    Ok(())
}

/// Tries `action` with each way to end a region.
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
        if sent {
            assert!(!channel.wait(SILENCE)?, "{way:?}: another event");
        }

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
