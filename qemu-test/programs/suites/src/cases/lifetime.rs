// SPDX-License-Identifier: GPL-2.0

//! Lifetime of a mapping: longer than its file's, not longer than its process's.

use std::thread;
use std::time::Duration;

use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use guest_test::process::in_child;
use guest_test::process::Child;
use guest_test::process::End;
use guest_test::signal::SIGKILL;
use guest_test::signal::SIGSEGV;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::random::Random;
use crate::step::staying_child;
use crate::step::step;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::wait::PATIENCE;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::World;

rules![
    #[rule("a mapping survives the close of its file")]
    fn survives_close(world: &mut World) -> Verdict {
        let held = world.mapped(2, 60)?;
        drop(held.device);
        assert_eq!(held.mapping.first_difference(60), None);
        held.mapping.fill(61);
        world.assert_granter_sees(&held.share, 61);
        assert_eq!(in_use(&held.share.grants)?, 2);

        held.mapping.unmap()?;
        assert_released(&held.share.grants);
        Ok(())
    },

    /// On an auto-translated domain the region keeps its grants until it is removed; here it is
    /// removed first, so munmap is the last user to go.
    #[rule("munmap releases the grants while the file is open")]
    fn munmap_releases(world: &mut World) -> Verdict {
        let held = world.mapped(2, 62)?;
        held.device.remove(held.index, 2)?;
        held.mapping.unmap()?;
        assert_released(&held.share.grants);
        held.device.insert(&held.share.grants)?;
        Ok(())
    },

    #[rule("munmap of the first page leaves the rest")]
    fn first_page_unmapped(world: &mut World) -> Verdict {
        let mut held = world.mapped(4, 63)?;
        let rest = held.mapping.split_off(1);
        held.mapping.unmap()?;
        assert_page_works(world, &rest, &held.share, 1, 63)?;
        rest.unmap()?;
        held.device.remove(held.index, 4)?;
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("munmap of the middle leaves both ends")]
    fn middle_unmapped(world: &mut World) -> Verdict {
        let mut held = world.mapped(5, 64)?;
        let mut middle = held.mapping.split_off(1);
        let last = middle.split_off(3);
        middle.unmap()?;
        assert_page_works(world, &held.mapping, &held.share, 0, 64)?;
        assert_page_works(world, &last, &held.share, 4, 64)?;
        last.unmap()?;
        held.mapping.unmap()?;
        held.device.remove(held.index, 5)?;
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("munmap of the last page leaves the rest")]
    fn last_page_unmapped(world: &mut World) -> Verdict {
        let mut held = world.mapped(4, 65)?;
        held.mapping.split_off(3).unmap()?;
        assert_page_works(world, &held.mapping, &held.share, 0, 65)?;
        held.mapping.unmap()?;
        held.device.remove(held.index, 4)?;
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("pages are unmapped one by one in any order")]
    fn one_by_one(world: &mut World) -> Verdict {
        const PAGES: usize = 24;
        let mut held = world.mapped(PAGES, 66)?;
        let mut pages: Vec<(usize, Mapping)> = Vec::new();
        for page in (0..PAGES).rev() {
            pages.push((page, held.mapping.split_off(page)));
        }
        Random::new(3).shuffle(&mut pages);
        while let Some((_, page)) = pages.pop() {
            page.unmap()?;
            for (number, page) in &pages {
                let difference = page.first_difference_from(number * PAGE_SIZE, 66);
                assert_eq!(difference, None, "page {number}, {} left", pages.len());
            }
        }
        held.device.remove(held.index, PAGES as u32)?;
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("a child process sees the mapping")]
    fn child_sees_mapping(world: &mut World) -> Verdict {
        if world.is_paravirtual() {
            return skip_case("a paravirtual mapping is not copied to a child");
        }
        let held = world.mapped(2, 67)?;
        let end = in_child(|| {
            assert_eq!(held.mapping.first_difference(67), None);
            held.mapping.fill(68);
        })?;
        assert_eq!(end, End::Exited(0));
        world.assert_granter_sees(&held.share, 68);
        Ok(())
    },

    #[rule("a child process's mapping outlives the parent's")]
    fn child_outlives_parent(world: &mut World) -> Verdict {
        if world.is_paravirtual() {
            return skip_case("a paravirtual mapping is not copied to a child");
        }
        let held = world.mapped(2, 69)?;
        let grants = held.share.grants.clone();
        let mapping = &held.mapping;
        let (report, unmapped) = step()?;
        let mut child = Child::spawn(|| {
            unmapped.wait().expect("the parent's step");
            assert_eq!(mapping.first_difference(70), None);
            mapping.fill(71);
        })?;
        held.mapping.unmap()?;
        held.device.remove(held.index, 2)?;
        drop(held.device);
        assert_eq!(in_use(&grants)?, 2);

        world.granter.fill(&held.share, 70)?;
        report.send()?;
        assert_eq!(child.wait(PATIENCE)?, Some(End::Exited(0)));
        world.assert_granter_sees(&held.share, 71);
        assert_released(&grants);
        Ok(())
    },

    /// The hypervisor has written the page-table entries of the mapping, so fork does not copy
    /// them.
    #[rule("a child process has no paravirtual mapping")]
    fn child_has_no_mapping(world: &mut World) -> Verdict {
        if !world.is_paravirtual() {
            return skip_case("an auto-translated mapping is copied to a child");
        }
        let held = world.mapped(1, 72)?;
        let end = in_child(|| {
            held.mapping.read(0);
        })?;
        assert_eq!(end, End::Signalled(SIGSEGV));
        assert_eq!(held.mapping.first_difference(72), None);
        Ok(())
    },

    #[rule("a killed process leaves nothing mapped")]
    fn killed(world: &mut World) -> Verdict {
        let share = world.share(4)?;
        let mut child = staying_child(|report| {
            let table = GrantTable::open().expect("open");
            let _mapping = table
                .map_all(&share.grants, Protection::ReadWrite)
                .expect("map");
            report.send_and_stay();
        })?;
        assert_eq!(in_use(&share.grants)?, 4, "the child's mapping");

        child.kill()?;
        let end = child.wait(PATIENCE)?;
        assert_eq!(end, Some(End::Signalled(SIGKILL)));
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("a process killed at any moment leaves nothing mapped")]
    fn killed_at_any_moment(world: &mut World) -> Verdict {
        let share = world.share(8)?;
        let mut random = Random::new(4);
        for _ in 0..20 {
            let grants = &share.grants;
            let mut child = Child::spawn(|| map_and_unmap_for_ever(grants))?;
            thread::sleep(Duration::from_micros(3000 + random.below(30_000) as u64));
            child.kill()?;
            let end = child.wait(PATIENCE)?;
            assert_eq!(end, Some(End::Signalled(SIGKILL)));
        }
        assert_released(&share.grants);

        // The next mapping works as if nothing had happened.
        let table = GrantTable::open()?;
        let mapping = table.map_all(&share.grants, Protection::ReadWrite)?;
        mapping.fill(73);
        world.assert_granter_sees(&share, 73);
        Ok(())
    },

    #[rule("a process that exits without unmapping leaves nothing mapped")]
    fn exits(world: &mut World) -> Verdict {
        let share = world.share(3)?;
        let end = in_child(|| {
            let device = Gntdev::open().expect("open");
            let index = device.insert(&share.grants).expect("insert");
            let mapping = device.map(index, 3, Protection::ReadWrite).expect("map");
            std::mem::forget((device, mapping));
        })?;
        assert_eq!(end, End::Exited(0));
        assert_released(&share.grants);
        Ok(())
    }
];

/// Checks that page `page` of what was filled with `seed` works both ways.
fn assert_page_works(
    world: &mut World,
    mapping: &Mapping,
    share: &crate::granter::Share,
    page: usize,
    seed: u32,
) -> Verdict {
    let difference = mapping.first_difference_from(page * PAGE_SIZE, seed);
    assert_eq!(difference, None, "page {page}");
    let at = page * PAGE_SIZE + 33;
    let value = !mapping.read(33);
    mapping.write(33, value);
    assert_eq!(world.granter.read(share, at)?, value, "page {page}");
    Ok(())
}

fn map_and_unmap_for_ever(grants: &[GrantRef]) {
    let device = Gntdev::open().expect("open");
    for count in (1..=grants.len()).cycle() {
        let index = device.insert(&grants[..count]).expect("insert");
        let mapping = device
            .map(index, count, Protection::ReadWrite)
            .expect("map");
        mapping.write(0, 1);
        mapping.unmap().expect("munmap");
        device.remove(index, count as u32).expect("remove");
    }
}
