// SPDX-License-Identifier: GPL-2.0

//! Domains and grants that cannot be mapped, and a table of descriptors that is full.

use guest_test::errno::EINVAL;
use guest_test::errno::EMFILE;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;

use super::descriptors::assert_no_descriptor;
use crate::cases::dmabuf::buffers::file_buffer;
use crate::cases::dmabuf::buffers::KINDS;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::granter::Share;
use crate::granter::ABSENT_DOMAIN;
use crate::granter::BEYOND_TABLE;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

rules![
    /// The device's file stays open, so the failed call itself has to unmap the grants.
    #[rule("one bad reference among good ones leaves none mapped")]
    fn one_bad_among_good(world: &mut World) -> Verdict {
        let share = world.share(5)?;
        let device = Gntdev::open()?;
        for place in [0, 2, 4] {
            for bad in [BEYOND_TABLE, u32::MAX] {
                let mut references = share.references();
                references[place] = bad;
                assert_refused(&device, world.granter.domid(), &references, &share)?;
            }
        }
        Ok(())
    },

    #[rule("grants that have ended are EINVAL")]
    fn ended_grants(world: &mut World) -> Verdict {
        let good = world.share(1)?;
        let share = world.share(2)?;
        let references = share.references();
        world.granter.unshare(share)?;
        let device = Gntdev::open()?;
        assert_refused(&device, world.granter.domid(), &references, &good)
    },

    #[rule("an export of an absent domain is EINVAL")]
    fn absent_domain(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        let device = Gntdev::open()?;
        assert_refused(&device, ABSENT_DOMAIN, &share.references(), &share)
    },

    #[rule("a domain number beyond 16 bits is EINVAL")]
    fn domain_beyond_16_bits(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        let device = Gntdev::open()?;
        for bits in [1 << 16, 1 << 31] {
            let domid = world.granter.domid() | bits;
            assert_refused(&device, domid, &share.references(), &share)?;
        }
        Ok(())
    },

    #[rule("an export without a free descriptor is EMFILE, nothing is mapped")]
    #[expect_c_differs(NO_EXPORT)]
    fn no_free_descriptor(world: &mut World) -> Verdict {
        /// More descriptors than the default limit of a process.
        const MANY: usize = 1 << 16;
        let share = world.share(2)?;
        world.granter.fill(&share, 701)?;
        let references = share.references();
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        let (_, buffer) = file_buffer(1)?;
        let mut duplicates = Vec::new();
        while let Ok(duplicate) = buffer.try_clone() {
            duplicates.push(duplicate);
            assert!(duplicates.len() < MANY, "the number of files has no limit");
        }
        let results = KINDS.map(|(flags, _)| device.export(flags, domid, &references));
        // Reading the grant table takes a descriptor.
        duplicates.truncate(duplicates.len() / 2);
        for (result, (_, kind)) in results.into_iter().zip(KINDS) {
            assert_error(result, EMFILE, &format!("{kind} memory"));
        }
        assert_released(&share.grants);
        drop(duplicates);
        let buffer = device.export(0, domid, &references)?;
        assert_eq!(buffer.map(2)?.first_difference(701), None);
        Ok(())
    },

    #[rule("a hundred failed exports leave nothing behind")]
    #[expect_c_differs(NO_EXPORT)]
    fn many_failures(world: &mut World) -> Verdict {
        let share = world.share(8)?;
        world.granter.fill(&share, 700)?;
        let good = share.references();
        let mut bad = good.clone();
        bad[7] = BEYOND_TABLE;
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        assert_no_descriptor(|| {
            for round in 0..100 {
                let (flags, _) = KINDS[round % KINDS.len()];
                assert_error(device.export(flags, domid, &bad), EINVAL, "an export");
            }
            Ok(())
        })?;
        assert_released(&share.grants);
        for (flags, _) in KINDS {
            let buffer = device.export(flags, domid, &good)?;
            assert_eq!(buffer.map(8)?.first_difference(700), None);
        }
        Ok(())
    }
];

/// Asserts that the export of `references` is refused and that none of `good` stays mapped.
fn assert_refused(device: &Gntdev, domid: u32, references: &[u32], good: &Share) -> Verdict {
    assert_no_descriptor(|| {
        for (flags, kind) in KINDS {
            let result = device.export(flags, domid, references);
            assert_error(result, EINVAL, &format!("{references:?} as {kind} memory"));
        }
        Ok(())
    })?;
    assert_released(&good.grants);
    Ok(())
}
