// SPDX-License-Identifier: GPL-2.0

//! Grants that cannot be mapped: mmap fails, nothing stays mapped, and the next mapping works.

use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;

use crate::granter::Share;
use crate::granter::ABSENT_DOMAIN;
use crate::granter::BEYOND_TABLE;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

rules![
    #[rule("a reference beyond the grant table is EINVAL")]
    fn reference_beyond_table(world: &mut World) -> Verdict {
        let good = world.share(2)?;
        let domid = world.granter.domid();
        for reference in [BEYOND_TABLE, u32::MAX] {
            assert_refused(world, &[GrantRef { domid, reference }], &good)?;
        }
        Ok(())
    },

    #[rule("a reference that grants nothing is EINVAL")]
    fn unused_reference(world: &mut World) -> Verdict {
        let good = world.share(1)?;
        // The table's first page has 512 entries, of which few are in use. The first eight are
        // reserved for the toolstack.
        let grant = GrantRef {
            domid: world.granter.domid(),
            reference: 500,
        };
        assert_refused(world, &[grant], &good)
    },

    #[rule("a grant that has ended is EINVAL")]
    fn ended_grant(world: &mut World) -> Verdict {
        let good = world.share(1)?;
        let share = world.share(2)?;
        let grants = share.grants.clone();
        world.granter.unshare(share)?;
        assert_refused(world, &grants, &good)
    },

    #[rule("an absent domain is EINVAL")]
    fn absent_domain(world: &mut World) -> Verdict {
        let good = world.share(1)?;
        let grant = GrantRef {
            domid: ABSENT_DOMAIN,
            reference: good.grants[0].reference,
        };
        assert_refused(world, &[grant], &good)
    },

    #[rule("a domain number beyond 16 bits is EINVAL")]
    #[expect_c_differs("drops the upper bits and maps another domain's page")]
    fn domain_beyond_16_bits(world: &mut World) -> Verdict {
        let good = world.share(1)?;
        let grant = GrantRef {
            domid: good.grants[0].domid | (1 << 16),
            ..good.grants[0]
        };
        assert_refused(world, &[grant], &good)
    },

    #[rule("a region whose mapping failed cannot be mapped again")]
    fn failed_once(world: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let index = device.insert(&[GrantRef {
            domid: world.granter.domid(),
            reference: BEYOND_TABLE,
        }])?;
        for attempt in ["the first", "the second"] {
            let result = device.map(index, 1, Protection::Read);
            assert_error(result, EINVAL, &format!("{attempt} attempt"));
        }
        device.remove(index, 1)?;
        Ok(())
    },

    /// Tried with the bad reference at each place. The file stays open, so the failed call itself
    /// has to unmap the others.
    #[rule("one bad grant among good ones leaves none mapped")]
    #[expect_c_differs_on_auto_translated("keeps the good ones mapped until the file closes")]
    fn one_bad_among_good(world: &mut World) -> Verdict {
        let share = world.share(5)?;
        for place in [0, 2, 4] {
            let mut grants = share.grants.clone();
            grants[place].reference = BEYOND_TABLE;
            let device = Gntdev::open()?;
            let index = device.insert(&grants)?;
            let result = device.map(index, 5, Protection::ReadWrite);
            assert_error(result, EINVAL, &format!("bad grant at place {place}"));
            assert_released(&share.grants);
            device.remove(index, 5)?;

            let index = device.insert(&share.grants)?;
            let mapping = device.map(index, 5, Protection::ReadWrite)?;
            mapping.fill(51);
            world.assert_granter_sees(&share, 51);
        }
        Ok(())
    },

    #[rule("a hundred failed mappings leave nothing behind")]
    fn many_failures(world: &mut World) -> Verdict {
        let good = world.share(1)?;
        let mut grants = vec![good.grants[0]; 8];
        grants[7].reference = BEYOND_TABLE;
        let device = Gntdev::open()?;
        for _ in 0..100 {
            let index = device.insert(&grants)?;
            assert_eq!(index, 0);
            let result = device.map(index, 8, Protection::ReadWrite);
            assert_error(result, EINVAL, "mapping");
            device.remove(index, 8)?;
        }
        assert_released(&good.grants);
        Ok(())
    }
];

/// Tries to map `bad` on a file and then maps `good` on the same.
fn assert_refused(world: &mut World, bad: &[GrantRef], good: &Share) -> Verdict {
    let table = GrantTable::open()?;
    for protection in [Protection::Read, Protection::ReadWrite] {
        let result = table.map_all(bad, protection);
        assert_error(result.map(drop), EINVAL, &format!("{bad:?}"));
    }
    let mapping = table.map_all(&good.grants, Protection::ReadWrite)?;
    mapping.fill(50);
    world.assert_granter_sees(good, 50);
    Ok(())
}
