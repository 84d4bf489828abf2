// SPDX-License-Identifier: GPL-2.0

//! Calls that have the kernel touch all pages of a mapping: mlockall, `MAP_POPULATE` and
//! `MADV_POPULATE_WRITE`. The pages of a region are there from mmap on, so nothing changes.

use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::mapping;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use xen_grants::mapping::Protection;

use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

rules![
    #[rule("mlockall leaves a mapping as it is, and allows another one")]
    fn all_locked(world: &mut World) -> Verdict {
        let before = world.mapped(2, 110)?;
        mapping::lock_all()?;
        assert_eq!(before.mapping.first_difference(110), None);
        let after = world.mapped(2, 111)?;
        assert_eq!(after.mapping.first_difference(111), None);
        for (held, seed) in [(before, 112), (after, 113)] {
            held.mapping.fill(seed);
            world.assert_granter_sees(&held.share, seed);
            held.mapping.unmap()?;
            held.device.remove(held.index, 2)?;
            assert_released(&held.share.grants);
        }
        Ok(())
    },

    #[rule("MAP_POPULATE maps a region")]
    fn populated_at_once(world: &mut World) -> Verdict {
        let share = world.share(3)?;
        for (protection, seed) in [(Protection::Read, 114), (Protection::ReadWrite, 115)] {
            world.granter.fill(&share, seed)?;
            let device = Gntdev::open()?;
            let index = device.insert(&share.grants)?;
            let mapping = mapping::populated(device.file(), index, 3, protection)?;
            assert_eq!(mapping.first_difference(seed), None, "{protection:?}");
            if protection == Protection::ReadWrite {
                mapping.fill(116);
                world.assert_granter_sees(&share, 116);
            }
            drop((mapping, device));
            assert_released(&share.grants);
        }
        Ok(())
    },

    #[rule("MADV_POPULATE_WRITE finds the pages of a mapping, and leaves them as they are")]
    fn populated_for_writing(world: &mut World) -> Verdict {
        let held = world.mapped(3, 117)?;
        held.mapping.populate_for_writing()?;
        assert_eq!(held.mapping.first_difference(117), None);
        held.mapping.fill(118);
        world.assert_granter_sees(&held.share, 118);
        held.mapping.unmap()?;
        held.device.remove(held.index, 3)?;
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("MADV_POPULATE_WRITE of a read-only mapping is EINVAL")]
    fn read_only(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 119)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let mapping = device.map(index, 1, Protection::Read)?;
        assert_error(mapping.populate_for_writing(), EINVAL, "populating it");
        assert_eq!(mapping.first_difference(119), None);
        Ok(())
    }
];
