// SPDX-License-Identifier: GPL-2.0

//! Segments that the hypervisor or the driver refuses.

use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::pattern;
use guest_test::pattern::Pattern;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::grant_copy::BAD_REFERENCE;
use xen_grants::grant_copy::OKAY;
use xen_grants::grant_table::GrantTable;
use xen_grants::PAGE_SIZE;

use super::segments::bad_grant;
use super::segments::from_grant;
use super::segments::memory;
use super::segments::memory_before_grant;
use super::segments::to_grant;
use super::segments::PAGE;
use crate::granter::Access;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::Source;
use crate::world::World;

rules![
    #[rule("a bad reference fails its segment and no other")]
    fn bad_reference(world: &mut World) -> Verdict {
        const COUNT: usize = 600;
        let share = world.share(1)?;
        world.granter.fill(&share, 154)?;
        let local = memory(10)?;
        let bad = bad_grant(world);
        let table = GrantTable::open()?;
        for wrong in [0, 1, 255, 256, 300, 599] {
            local.fill(155);
            let segments: Vec<Segment<'_>> = (0..COUNT)
                .map(|number| {
                    let grant = if number == wrong {
                        bad
                    } else {
                        share.grants[0]
                    };
                    from_grant(grant, number as u16, &local, number * 64, 64)
                })
                .collect();
            let statuses = table.copy(&segments)?;
            for (number, status) in statuses.iter().enumerate() {
                let place = number * 64;
                let (expected_status, expected_byte) = if number == wrong {
                    (BAD_REFERENCE, pattern(155, place))
                } else {
                    (OKAY, pattern(154, number))
                };
                assert_eq!(*status, expected_status, "segment {number}");
                assert_eq!(local.read(place), expected_byte, "segment {number}");
            }
        }
        Ok(())
    },

    #[rule("a bad reference fails a segment that crosses pages")]
    fn bad_reference_of_split_segment(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 156)?;
        let local = memory(2)?;
        let (good, bad) = (share.grants[0], bad_grant(world));
        let statuses = GrantTable::open()?.copy(&[
            from_grant(good, 0, &local, 4000, 200),
            from_grant(bad, 0, &local, 4000, 200),
            from_grant(good, 200, &local, 4000, 100),
        ])?;
        assert_eq!(statuses, [OKAY, BAD_REFERENCE, OKAY]);
        assert_eq!(local.read(4000), pattern(156, 200));
        assert_eq!(local.read(4199), pattern(156, 199));
        Ok(())
    },

    /// The hypervisor copies from and to frames of this domain only. The second part is a mapped
    /// grant of another domain, so it fails.
    #[rule("a split segment has the status of its first part that failed")]
    fn second_part_fails(world: &mut World) -> Verdict {
        if world.source == Source::Own {
            return skip_case("a mapped grant of this domain's own is a frame of its own");
        }
        let (mapped, share) = (world.share(1)?, world.share(1)?);
        world.granter.fill(&mapped, 174)?;
        world.granter.fill(&share, 157)?;
        let device = Gntdev::open()?;
        let local = memory_before_grant(&device, &mapped)?;
        let statuses = device.copy(&[
            from_grant(share.grants[0], 0, &local, 4000, 200),
            from_grant(share.grants[0], 0, &local, 0, 64),
        ])?;
        assert!(statuses[0] < 0, "status {}", statuses[0]);
        assert_eq!(statuses[1], OKAY);
        assert_eq!(local.read(4000), pattern(157, 0));
        assert_eq!(local.read(4095), pattern(157, 95));
        world.assert_granter_sees(&mapped, 174);
        Ok(())
    },

    #[rule("a page that was granted read-only is read but not written")]
    fn read_only_grant(world: &mut World) -> Verdict {
        let share = world.granter.share(1, Access::ReadOnly)?;
        world.granter.fill(&share, 159)?;
        let (local, source) = (memory(1)?, memory(1)?);
        let table = GrantTable::open()?;
        let statuses = table.copy(&[
            from_grant(share.grants[0], 0, &local, 0, PAGE),
            to_grant(&source, 0, share.grants[0], 0, PAGE),
        ])?;
        assert_eq!(statuses[0], OKAY);
        assert!(statuses[1] < 0, "status {}", statuses[1]);
        assert_eq!(local.first_difference(159), None);
        world.assert_granter_sees(&share, 159);
        Ok(())
    },

    #[rule("local memory on both ends is EINVAL")]
    fn both_local(world: &mut World) -> Verdict {
        let local = memory(2)?;
        let share = world.share(1)?;
        let segment = Segment {
            source: End::Local(&local, 0),
            destination: End::Local(&local, PAGE_SIZE),
            length: 16,
        };
        let good = from_grant(share.grants[0], 0, &local, 0, 16);
        let table = GrantTable::open()?;
        for segments in [&[segment][..], &[good, segment], &[segment, good]] {
            assert_error(table.copy(segments), EINVAL, "local to local");
        }
        let empty = Segment {
            length: 0,
            ..segment
        };
        assert_error(table.copy(&[empty]), EINVAL, "no bytes");
        Ok(())
    },

    #[rule("crossing the end of a granted page is EINVAL")]
    fn foreign_page_crossed(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        world.granter.fill(&share, 160)?;
        let local = memory(17)?;
        let grant = share.grants[0];
        let table = GrantTable::open()?;
        for (offset, length) in [
            (1, PAGE),
            (4095, 2),
            (PAGE, 1),
            (0, PAGE + 1),
            (u16::MAX, 1),
            (u16::MAX, 0),
            (0, u16::MAX),
            (u16::MAX, u16::MAX),
        ] {
            let what = format!("{length} bytes at {offset}");
            let result = table.copy(&[from_grant(grant, offset, &local, 0, length)]);
            assert_error(result, EINVAL, &format!("from a grant: {what}"));
            let result = table.copy(&[to_grant(&local, 0, grant, offset, length)]);
            assert_error(result, EINVAL, &format!("to a grant: {what}"));
            let between = Segment {
                source: End::Grant(grant, 0),
                destination: End::Grant(share.grants[1], offset),
                length,
            };
            assert_error(table.copy(&[between]), EINVAL, &format!("between: {what}"));
        }
        world.assert_granter_sees(&share, 160);
        Ok(())
    }
];
