// SPDX-License-Identifier: GPL-2.0

//! Kinds of memory at the local end: copy-on-write, untouched, a mapped grant.

use guest_test::ktap::Verdict;
use guest_test::pattern::pattern;
use guest_test::pattern::Pattern;
use guest_test::process;
use guest_test::process::Child;
use xen_grants::grant_table::GrantTable;
use xen_grants::PAGE_SIZE;

use super::segments::assert_okay;
use super::segments::from_grant;
use super::segments::memory;
use super::segments::to_grant;
use super::segments::PAGE;
use crate::step::step;
use crate::suite::rules;
use crate::wait::PATIENCE;
use crate::world::Source;
use crate::world::World;

rules![
    /// The hypervisor must not write to the page that parent and child share.
    #[rule("a destination shared with a child process is copied first")]
    fn copy_on_write(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 166)?;
        let local = memory(1)?;
        local.fill(167);
        let (report, copied) = step()?;
        let mut child = Child::spawn(|| {
            copied.wait().expect("the parent's step");
            assert_eq!(local.first_difference(167), None, "the child's memory");
        })?;
        let table = GrantTable::open()?;
        assert_okay(&table.copy(&[from_grant(share.grants[0], 0, &local, 0, PAGE)])?);
        assert_eq!(local.first_difference(166), None);
        report.send()?;
        let end = child.wait(PATIENCE)?;
        assert_eq!(end, Some(process::End::Exited(0)));
        Ok(())
    },

    /// Untouched memory reads as zeroes from a page that all processes share.
    #[rule("memory that nobody has touched yet can be either end")]
    fn untouched_memory(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 168)?;
        let table = GrantTable::open()?;
        let destination = memory(3)?;
        assert_okay(&table.copy(&[from_grant(share.grants[0], 0, &destination, 100, PAGE)])?);
        assert_eq!(destination.read(99), 0);
        assert_eq!(destination.read(100), pattern(168, 0));
        assert_eq!(destination.read(100 + PAGE_SIZE), 0);
        assert_eq!(memory(1)?.read(0), 0, "the page of zeroes");

        let source = memory(1)?;
        assert_okay(&table.copy(&[to_grant(&source, 0, share.grants[0], 0, PAGE)])?);
        for at in [0, 1, 2048, 4095] {
            assert_eq!(world.granter.read(&share, at)?, 0, "byte {at}");
        }
        Ok(())
    },

    /// The first segment gives the untouched page memory of its own, which the second one reads.
    #[rule("a segment reads what the one before it wrote")]
    fn written_then_read(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        world.granter.fill(&share, 172)?;
        let table = GrantTable::open()?;
        for at in [0, 100] {
            let local = memory(2)?;
            world.granter.write(&share, PAGE_SIZE, 0)?;
            let statuses = table.copy(&[
                from_grant(share.grants[0], 0, &local, at, PAGE),
                to_grant(&local, at, share.grants[1], 0, PAGE),
            ])?;
            assert_okay(&statuses);
            for byte in [0, 1, 2048, 4095] {
                let value = world.granter.read(&share, PAGE_SIZE + byte)?;
                assert_eq!(value, pattern(172, byte), "byte {byte}");
            }
        }
        Ok(())
    },

    /// The hypervisor copies from and to frames of this domain. The frame behind a mapped grant is
    /// this domain's only if it granted the page itself.
    #[rule("a mapped grant can be the local buffer if it is the domain's own")]
    fn mapped_grant(world: &mut World) -> Verdict {
        let held = world.mapped(1, 169)?;
        let share = world.share(1)?;
        world.granter.fill(&share, 170)?;
        let statuses = held.device.copy(&[
            to_grant(&held.mapping, 0, share.grants[0], 0, 64),
            from_grant(share.grants[0], 1000, &held.mapping, 64, 64),
        ])?;
        if world.source == Source::Own {
            assert_okay(&statuses);
            assert_eq!(world.granter.read(&share, 63)?, pattern(169, 63));
            assert_eq!(held.mapping.read(64), pattern(170, 1000));
        } else {
            assert!(statuses.iter().all(|status| *status < 0), "{statuses:?}");
            world.assert_granter_sees(&share, 170);
            world.assert_granter_sees(&held.share, 169);
        }
        Ok(())
    }
];
