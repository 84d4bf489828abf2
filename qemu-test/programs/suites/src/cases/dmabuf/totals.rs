// SPDX-License-Identifier: GPL-2.0

//! Totals of the driver in debugfs: dma-bufs.

use guest_test::ktap::Verdict;
use guest_test::totals;

use super::buffers::exported;
use super::buffers::imported;
use super::buffers::NO_EXPORT;
use crate::cases::totals::NO_TOTALS;
use crate::suite::rules;
use crate::world::assert_changes;
use crate::world::World;

rules![
    #[rule("debugfs counts an export, its frames and its grants until it has ended")]
    #[expect_c_differs(NO_EXPORT)]
    fn exports(world: &mut World) -> Verdict {
        let before = totals::read()?;
        let held = exported(world, 3, 1450)?;
        let grants = [
            ("frames", 3),
            ("mapped_grants", 3),
            ("grant_handles", 3),
            ("exports", 1),
        ];
        assert_changes(&before, &[&[("open_files", 1)], &grants[..]].concat());

        let mapping = held.buffer.map(2)?;
        drop((held.device, held.buffer));
        let mut mapped = grants;
        if world.is_paravirtual() {
            mapped[2].1 += 2;
        }
        assert_changes(&before, &mapped);
        mapping.unmap()?;
        assert_changes(&before, &[]);
        Ok(())
    },

    #[rule("debugfs counts an import and its grant references until it is released")]
    #[expect_c_differs(NO_TOTALS)]
    fn imports(world: &mut World) -> Verdict {
        let before = totals::read()?;
        let held = imported(world, 3, 1451)?;
        let domid = world.granter.domid();
        held.device.import(&held.buffer, domid, 3)?;
        let file = ("open_files", 1);
        assert_changes(&before, &[file, ("imports", 2), ("granted_references", 6)]);
        held.device.release_import(held.number())?;
        assert_changes(&before, &[file, ("imports", 1), ("granted_references", 3)]);
        drop(held.device);
        assert_changes(&before, &[]);
        Ok(())
    }
];
