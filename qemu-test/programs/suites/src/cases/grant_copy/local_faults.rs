// SPDX-License-Identifier: GPL-2.0

//! Local buffers that are not there or lack a permission.

use guest_test::errno::EFAULT;
use guest_test::gntdev::BadAddress;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::pattern;
use guest_test::pattern::Pattern;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use super::segments::assert_okay;
use super::segments::from_grant;
use super::segments::memory;
use super::segments::to_grant;
use super::segments::PAGE;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::World;

rules![
    #[rule("a buffer that is not there is EFAULT")]
    fn buffer_missing(world: &mut World) -> Verdict {
        let others = BadAddress::ALL.into_iter();
        buffer_is_bad(
            world,
            others.filter(|address| *address != BadAddress::Wrapping),
        )
    },

    #[rule("a buffer at the end of all addresses is EFAULT")]
    #[expect_c_differs("answers EOVERFLOW where addresses wrap")]
    fn buffer_wraps(world: &mut World) -> Verdict {
        buffer_is_bad(world, [BadAddress::Wrapping])
    },

    #[rule("a destination that cannot be written is EFAULT")]
    fn destination_read_only(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 162)?;
        let local = memory(2)?;
        local.fill(163);
        local.protect(Protection::Read)?;
        let table = GrantTable::open()?;
        for at in [0, 100, 4000] {
            let segment = from_grant(share.grants[0], 0, &local, at, 200);
            assert_error(table.copy(&[segment]), EFAULT, "read-only memory");
        }
        assert_eq!(local.first_difference(163), None);
        // The same memory can be read.
        assert_okay(&table.copy(&[to_grant(&local, 4000, share.grants[0], 0, 200)])?);
        assert_eq!(world.granter.read(&share, 199)?, pattern(163, 4199));
        Ok(())
    },

    #[rule("a source that cannot be read is EFAULT")]
    fn source_unreadable(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 164)?;
        let local = memory(1)?;
        local.protect(Protection::None)?;
        let table = GrantTable::open()?;
        let segments = [
            to_grant(&local, 0, share.grants[0], 0, 8),
            from_grant(share.grants[0], 0, &local, 0, 8),
        ];
        for segment in segments {
            assert_error(table.copy(&[segment]), EFAULT, "protected memory");
        }
        world.assert_granter_sees(&share, 164);
        Ok(())
    },

    #[rule("a buffer of which the second page is missing is EFAULT")]
    fn second_page_missing(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let mut local = memory(3)?;
        let mut second = local.split_off(1);
        let third = second.split_off(1);
        second.protect(Protection::None)?;
        local.join(second);
        local.join(third);
        let grant = share.grants[0];
        let table = GrantTable::open()?;
        for good in [0, 1, 20, 300] {
            let mut segments = vec![from_grant(grant, 0, &local, 0, 64); good];
            segments.push(from_grant(grant, 0, &local, 4000, 200));
            segments.push(from_grant(grant, 0, &local, 2 * PAGE_SIZE, 64));
            assert_error(table.copy(&segments), EFAULT, &format!("after {good}"));
        }
        Ok(())
    }
];

fn buffer_is_bad(world: &mut World, bad: impl IntoIterator<Item = BadAddress>) -> Verdict {
    let share = world.share(1)?;
    world.granter.fill(&share, 161)?;
    let table = GrantTable::open()?;
    for address in bad {
        for length in [1, 8, PAGE] {
            let what = format!("{length} bytes at {address:?}");
            let (there, nowhere) = (
                End::Grant(share.grants[0], 0),
                End::Local(address.bytes(), 0),
            );
            for (source, destination) in [(there, nowhere), (nowhere, there)] {
                let segment = Segment {
                    source,
                    destination,
                    length,
                };
                assert_error(table.copy(&[segment]), EFAULT, &what);
            }
        }
    }
    world.assert_granter_sees(&share, 161);
    Ok(())
}
