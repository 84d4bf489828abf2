// SPDX-License-Identifier: GPL-2.0

//! Xen's grant table, which is read after every case, shows mapped grants.

use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use xen_grants::mapping::Protection;

use crate::suite::rules;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::World;

rules![
    #[rule("xen's table shows a grant while it is mapped")]
    fn shown_while_mapped(world: &mut World) -> Verdict {
        let held = world.mapped(3, 1)?;
        assert_eq!(in_use(&held.share.grants)?, 3);

        held.mapping.unmap()?;
        held.device.remove(held.index, 3)?;
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("a region maps nothing before mmap")]
    fn nothing_before_mmap(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        assert_eq!(in_use(&share.grants)?, 0);

        let mapping = device.map(index, 2, Protection::Read)?;
        assert_eq!(in_use(&share.grants)?, 2);
        drop(mapping);
        Ok(())
    }
];
