// SPDX-License-Identifier: GPL-2.0

//! Grants that cannot be mapped: mmap fails, nothing stays mapped, and the next mapping works.

use std::time::Duration;

use guest_test::errno::EINTR;
use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::interruption::Interruption;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::mapping;
use guest_test::pattern::Pattern;
use guest_test::process::in_child;
use guest_test::process::End;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::granter::Share;
use crate::granter::ABSENT_DOMAIN;
use crate::granter::BEYOND_TABLE;
use crate::suite::rules;
use crate::suite::skip_case;
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

    /// The granter ends a grant and makes it again; Linux soon uses its reference again.
    #[rule("a region whose mapping failed can be mapped later")]
    #[expect_c_differs("refuses each further attempt")]
    fn mapped_later(world: &mut World) -> Verdict {
        for ended_place in [0, 1] {
            let good = world.share(1)?;
            let ended = world.share(1)?;
            let mut grants = good.grants.clone();
            grants.insert(ended_place, ended.grants[0]);
            world.granter.unshare(ended)?;
            let device = Gntdev::open()?;
            let index = device.insert(&grants)?;
            for _ in 0..3 {
                let result = device.map(index, 2, Protection::ReadWrite);
                assert_error(result, EINVAL, "an ended grant");
                assert_released(&good.grants);
            }

            let again = share_reference(world, grants[ended_place])?;
            let mapping = device.map(index, 2, Protection::ReadWrite)?;
            mapping.write(ended_place * PAGE_SIZE, 52);
            assert_eq!(world.granter.read(&again, 0)?, 52);
            let result = device.map(index, 2, Protection::ReadWrite);
            assert_error(result, EINVAL, "a region that is mapped");
            mapping.unmap()?;
            device.remove(index, 2)?;
            assert_released(&grants);
        }
        Ok(())
    },

    /// The kernel takes all locks of the address space of a process that registers its first MMU
    /// notifier, and gives that up when a signal is pending.
    #[rule("a mapping that a signal interrupted can be tried again")]
    #[expect_c_differs_on_pv("refuses each further attempt")]
    #[long]
    fn interrupted(world: &mut World) -> Verdict {
        if !world.is_paravirtual() {
            return skip_case("an auto-translated mapping has no MMU notifier");
        }
        const PROCESSES: u64 = 100;
        const ATTEMPTS: usize = 200;
        let share = world.share(1)?;
        world.granter.fill(&share, 53)?;
        let report = mapping::shared(1)?;
        let mut interrupted = 0;
        for number in 0..PROCESSES {
            report.write(0, 0);
            let end = in_child(|| {
                let device = Gntdev::open().expect("open");
                let index = device.insert(&share.grants).expect("insert");
                let interval = Duration::from_micros(40 + number * 60 / PROCESSES);
                let mut interruption = Some(Interruption::every(interval).expect("a timer"));
                for attempt in 0.. {
                    if attempt == ATTEMPTS {
                        interruption = None;
                    }
                    match device.map(index, 1, Protection::ReadWrite) {
                        Ok(mapping) => {
                            assert_eq!(mapping.first_difference(53), None);
                            break;
                        }
                        Err(error) => {
                            assert_error::<(), _>(Err(error), EINTR, "an interrupted attempt");
                            assert!(interruption.is_some(), "interrupted without a signal");
                            report.write(0, 1);
                        }
                    }
                }
            })?;
            assert_eq!(end, End::Exited(0), "process {number}");
            interrupted += usize::from(report.read(0));
        }
        println!("# interrupted: {interrupted} of {PROCESSES} processes");
        assert!(interrupted > 0, "no process was interrupted");
        assert_released(&share.grants);
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

/// Has the granter make the grant `wanted` anew.
fn share_reference(world: &mut World, wanted: GrantRef) -> Result<Share, Stop> {
    let mut others = Vec::new();
    for _ in 0..256 {
        let share = world.share(1)?;
        if share.grants[0] == wanted {
            for other in others {
                world.granter.unshare(other)?;
            }
            return Ok(share);
        }
        others.push(share);
    }
    panic!("{wanted:?} is not used again");
}

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
