// SPDX-License-Identifier: GPL-2.0

//! Actions that are replaced or withdrawn, and the event channel that they hold.

use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::event_channel::Loopback;
use guest_test::gntdev::notify::CLEAR_BYTE;
use guest_test::gntdev::notify::SEND_EVENT;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use xen_grants::mapping::Protection;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use super::held::end;
use super::held::is_open;
use super::held::SILENCE;
use crate::suite::rules;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::World;

rules![
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

        // The failed calls hold no channel.
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
        // The first region ends with its mapping, not with its removal.
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
    }
];
