// SPDX-License-Identifier: GPL-2.0

//! Totals of the driver in debugfs: regions and their grants.

use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::mapping::Pipe;
use guest_test::totals;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::granter::BEYOND_TABLE;
use crate::suite::rules;
use crate::world::assert_changes;
use crate::world::assert_error;
use crate::world::World;

/// Reason for which these rules fail with Linux's C driver.
pub const NO_TOTALS: &str = "has no totals";

rules![
    /// In a paravirtual domain the hypervisor maps each grant a second time, at the page-table
    /// entry of the program.
    #[rule("debugfs counts files, regions, frames and grants while they last")]
    #[expect_c_differs(NO_TOTALS)]
    fn while_they_last(world: &mut World) -> Verdict {
        let handles = if world.is_paravirtual() { 6 } else { 3 };
        let share = world.share(3)?;
        let before = totals::read()?;
        let device = Gntdev::open()?;
        assert_changes(&before, &[("open_files", 1)]);

        let index = device.insert(&share.grants)?;
        let waiting = [("open_files", 1), ("regions", 1), ("frames", 3)];
        assert_changes(&before, &waiting);

        let mapping = device.map(index, 3, Protection::ReadWrite)?;
        let mapped = [("mapped_grants", 3), ("grant_handles", handles)];
        assert_changes(&before, &[&waiting[..], &mapped].concat());

        // The mapping keeps the region, and the file open.
        device.remove(index, 3)?;
        drop(device);
        assert_changes(&before, &[&waiting[..], &mapped].concat());
        mapping.unmap()?;
        assert_changes(&before, &[]);
        Ok(())
    },

    /// A pipe holds a reference to a page.
    #[rule("debugfs counts a mapping whose page is in use as deferred")]
    #[expect_c_differs(NO_TOTALS)]
    fn deferred(world: &mut World) -> Verdict {
        let held = world.mapped(3, 300)?;
        let mut pipe = Pipe::new()?;
        held.mapping.unmap()?;
        held.device.remove(held.index, 3)?;
        let before = totals::read()?;

        let index = held.device.insert(&held.share.grants)?;
        let mapping = held.device.map(index, 3, Protection::ReadWrite)?;
        assert_eq!(pipe.take_pages(&mapping)?, 3 * PAGE_SIZE);
        pipe.read(PAGE_SIZE)?;
        mapping.unmap()?;
        held.device.remove(index, 3)?;
        let waiting = [
            ("frames", 3),
            ("mapped_grants", 2),
            ("grant_handles", 2),
            ("deferred", 1),
        ];
        assert_changes(&before, &waiting);
        pipe.read(2 * PAGE_SIZE)?;
        assert_changes(&before, &[]);
        Ok(())
    },

    #[rule("debugfs counts the mappings that xen refuses")]
    #[expect_c_differs(NO_TOTALS)]
    fn refused(world: &mut World) -> Verdict {
        let bad = GrantRef {
            domid: world.granter.domid(),
            reference: BEYOND_TABLE,
        };
        let share = world.share(1)?;
        let before = totals::read()?;
        let device = Gntdev::open()?;
        let index = device.insert(&[bad, share.grants[0], bad])?;
        let result = device.map(index, 3, Protection::ReadWrite);
        assert_error(result, EINVAL, "bad references");
        let held = [("open_files", 1), ("regions", 1), ("frames", 3)];
        let refused = [("refused_maps", 2)];
        assert_changes(&before, &[&held[..], &refused].concat());
        drop(device);
        assert_changes(&before, &refused);
        Ok(())
    }
];
