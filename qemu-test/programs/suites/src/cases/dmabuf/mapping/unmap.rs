// SPDX-License-Identifier: GPL-2.0

//! munmap of a mapping, in parts and in any order.

use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use crate::cases::dmabuf::buffers::assert_ends;
use crate::cases::dmabuf::buffers::exported;
use crate::cases::dmabuf::buffers::exported_as;
use crate::cases::dmabuf::buffers::of_all_kinds;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::random::Random;
use crate::suite::rules;
use crate::world::assert_released;
use crate::world::World;

rules![
    #[rule("munmap of the first page leaves the rest")]
    #[expect_c_differs(NO_EXPORT)]
    fn first_page_unmapped(world: &mut World) -> Verdict {
        let held = exported(world, 4, 425)?;
        let mut mapping = held.buffer.map(4)?;
        let rest = mapping.split_off(1);
        mapping.unmap()?;
        assert_eq!(rest.first_difference_from(PAGE_SIZE, 425), None);
        rest.write(0, 8);
        assert_eq!(world.granter.read(&held.share, PAGE_SIZE)?, 8);
        drop((rest, held.buffer));
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("munmap of the middle leaves both ends")]
    #[expect_c_differs(NO_EXPORT)]
    fn middle_unmapped(world: &mut World) -> Verdict {
        let held = exported(world, 5, 426)?;
        let mut first = held.buffer.map(5)?;
        let mut middle = first.split_off(1);
        let last = middle.split_off(3);
        middle.unmap()?;
        // The buffer still has all of its pages.
        assert_eq!(held.buffer.map(5)?.first_difference(426), None);
        assert_eq!(first.first_difference_from(0, 426), None);
        assert_eq!(last.first_difference_from(4 * PAGE_SIZE, 426), None);

        // Only the mappings keep the buffer.
        let number = held.buffer.number();
        drop(held.buffer);
        assert_eq!(last.first_difference_from(4 * PAGE_SIZE, 426), None);
        last.unmap()?;
        assert_eq!(first.first_difference_from(0, 426), None);
        first.unmap()?;
        assert_ends(&held.device, number);
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("pages are unmapped one by one in any order")]
    #[expect_c_differs(NO_EXPORT)]
    fn one_by_one(world: &mut World) -> Verdict {
        of_all_kinds(world, one_by_one_of)
    },

    #[rule("mappings are unmapped in any order")]
    #[expect_c_differs(NO_EXPORT)]
    fn mappings_in_any_order(world: &mut World) -> Verdict {
        let held = exported(world, 4, 428)?;
        let mut random = Random::new(10);
        let mut mappings: Vec<(usize, Mapping)> = Vec::new();
        for _ in 0..20 {
            let first = random.below(4);
            let pages = 1 + random.below(4 - first);
            let mapping = held.buffer.map_part(first, pages, Protection::ReadWrite)?;
            mappings.push((first, mapping));
        }
        random.shuffle(&mut mappings);
        drop(held.buffer);
        drop(held.device);
        while let Some((_, mapping)) = mappings.pop() {
            mapping.unmap()?;
            for (first, mapping) in &mappings {
                let difference = mapping.first_difference_from(first * PAGE_SIZE, 428);
                assert_eq!(difference, None, "{} mappings left", mappings.len());
            }
        }
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("munmap of a part leaves other mappings whole")]
    #[expect_c_differs(NO_EXPORT)]
    fn part_beside_whole(world: &mut World) -> Verdict {
        let held = exported(world, 3, 429)?;
        let mut first = held.buffer.map(3)?;
        let second = held.buffer.map(3)?;
        first.split_off(1).unmap()?;
        assert_eq!(second.first_difference(429), None);
        second.fill(430);
        assert_eq!(first.first_difference(430), None);
        world.assert_granter_sees(&held.share, 430);
        Ok(())
    }
];

fn one_by_one_of(world: &mut World, flags: u32) -> Verdict {
    const PAGES: usize = 24;
    let held = exported_as(world, flags, PAGES, 427)?;
    let mut whole = held.buffer.map(PAGES)?;
    let mut pages: Vec<(usize, Mapping)> = Vec::new();
    for page in (0..PAGES).rev() {
        pages.push((page, whole.split_off(page)));
    }
    Random::new(9).shuffle(&mut pages);
    while let Some((_, page)) = pages.pop() {
        page.unmap()?;
        for (number, page) in &pages {
            let difference = page.first_difference_from(number * PAGE_SIZE, 427);
            assert_eq!(difference, None, "page {number}, {} left", pages.len());
        }
    }
    drop((whole, held.buffer));
    assert_released(&held.share.grants);
    Ok(())
}
