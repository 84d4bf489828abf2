// SPDX-License-Identifier: GPL-2.0

//! A file's table of regions: the indexes that they get, and their removal.

use std::collections::BTreeMap;

use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::random::Random;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::World;

/// A grant for regions that are never mapped.
const ANY: GrantRef = GrantRef {
    domid: 0,
    reference: 1,
};

rules![
    #[rule("a file's first index is 0")]
    fn first_index(_: &mut World) -> Verdict {
        for count in [1, 2, 100] {
            let device = Gntdev::open()?;
            assert_eq!(device.insert(&vec![ANY; count])?, 0);
        }
        Ok(())
    },

    #[rule("regions do not overlap")]
    fn no_overlap(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let mut random = Random::new(1);
        let mut regions = BTreeMap::new();
        for _ in 0..300 {
            let count = 1 + random.below(9);
            let begin = pages_of(device.insert(&vec![ANY; count])?);
            let end = begin + count as u64;
            for (other, length) in &regions {
                assert!(
                    end <= *other || begin >= other + *length as u64,
                    "{begin}+{count} overlaps {other}+{length}"
                );
            }
            regions.insert(begin, count);

            if random.below(3) == 0 {
                let place = random.below(regions.len());
                let (begin, count) = regions
                    .iter()
                    .nth(place)
                    .map(|(begin, count)| (*begin, *count))
                    .expect("within the map");
                regions.remove(&begin);
                device.remove(begin * PAGE_SIZE as u64, count as u32)?;
            }
        }
        Ok(())
    },

    #[rule("the index is 0 again when all regions are gone")]
    fn first_index_again(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let indexes = [
            device.insert(&[ANY; 3])?,
            device.insert(&[ANY; 3])?,
            device.insert(&[ANY; 3])?,
        ];
        for index in indexes {
            device.remove(index, 3)?;
        }
        assert_eq!(device.insert(&[ANY])?, 0);
        Ok(())
    },

    #[rule("room of removed regions is used again")]
    fn room_is_reused(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        device.insert(&[ANY])?;
        for _ in 0..500 {
            let index = device.insert(&[ANY; 7])?;
            assert!(pages_of(index) < 100, "index {index:#x}");
            device.remove(index, 7)?;
        }
        Ok(())
    },

    #[rule("each of several regions maps its own grants")]
    fn own_grants(world: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let mut regions = Vec::new();
        for (pages, seed) in [(1, 20), (3, 21), (2, 22)] {
            let share = world.share(pages)?;
            world.granter.fill(&share, seed)?;
            regions.push((device.insert(&share.grants)?, pages, seed));
        }
        for (index, pages, seed) in regions.into_iter().rev() {
            let mapping = device.map(index, pages, Protection::Read)?;
            assert_eq!(mapping.first_difference(seed), None, "index {index:#x}");
        }
        Ok(())
    },

    #[rule("a region is removed before it was ever mapped")]
    fn removed_unmapped(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        device.remove(index, 2)?;
        let result = device.map(index, 2, Protection::Read);
        assert_error(result, EINVAL, "mapping a removed region");
        Ok(())
    },

    #[rule("a mapping outlives its region")]
    fn mapping_outlives_region(world: &mut World) -> Verdict {
        let held = world.mapped(2, 23)?;
        held.device.remove(held.index, 2)?;
        assert_eq!(held.mapping.first_difference(23), None);

        // The index is free, so the next region may take it over at once.
        let other = world.share(2)?;
        world.granter.fill(&other, 24)?;
        let index = held.device.insert(&other.grants)?;
        let mapping = held.device.map(index, 2, Protection::Read)?;
        assert_eq!(mapping.first_difference(24), None);

        held.mapping.fill(25);
        world.assert_granter_sees(&held.share, 25);
        Ok(())
    },

    #[rule("removing a region twice is ENOENT")]
    fn removed_twice(world: &mut World) -> Verdict {
        let held = world.mapped(1, 26)?;
        held.mapping.unmap()?;
        held.device.remove(held.index, 1)?;
        let again = held.device.remove(held.index, 1);
        assert_error(again, ENOENT, "the second time");
        Ok(())
    },

    #[rule("removing with another count is ENOENT")]
    fn removed_with_other_count(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let index = device.insert(&[ANY; 4])?;
        for count in [1, 3, 5, u32::MAX] {
            let result = device.remove(index, count);
            assert_error(result, ENOENT, &format!("count {count}"));
        }
        device.remove(index, 4)?;
        Ok(())
    },

    #[rule("removing what never was is ENOENT")]
    fn removed_unknown(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        assert_error(device.remove(0, 1), ENOENT, "an empty table");

        let index = device.insert(&[ANY; 4])?;
        let page = PAGE_SIZE as u64;
        for (index, count) in [(index + page, 3), (index + 4 * page, 4), (1 << 40, 4)] {
            let what = format!("index {index:#x}, count {count}");
            assert_error(device.remove(index, count), ENOENT, &what);
        }
        device.remove(index, 4)?;
        Ok(())
    },

    /// The header does not say so, but Linux's C driver does it.
    #[rule("removing with count 0 takes a region of any count")]
    fn removed_with_count_zero(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let index = device.insert(&[ANY; 4])?;
        device.remove(index, 0)?;
        assert_error(device.remove(index, 0), ENOENT, "the second time");
        Ok(())
    },

    /// A region cannot be mapped again after munmap either.
    #[rule("a region is mapped once only")]
    fn mapped_once(world: &mut World) -> Verdict {
        let held = world.mapped(2, 27)?;
        let again = held.device.map(held.index, 2, Protection::Read);
        assert_error(again, EINVAL, "mapping a mapped region");
        assert_eq!(held.mapping.first_difference(27), None);

        held.mapping.unmap()?;
        let again = held.device.map(held.index, 2, Protection::Read);
        assert_error(again, EINVAL, "mapping after munmap");
        held.device.remove(held.index, 2)?;
        Ok(())
    },

    #[rule("a mapping of another length is EINVAL")]
    fn other_length(world: &mut World) -> Verdict {
        let share = world.share(3)?;
        world.granter.fill(&share, 28)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        for pages in [1, 2, 4, 1 << 20] {
            let result = device.map(index, pages, Protection::Read);
            assert_error(result, EINVAL, &format!("{pages} pages"));
        }
        let inside = device.map(index + PAGE_SIZE as u64, 2, Protection::Read);
        assert_error(inside, EINVAL, "from the second page on");

        // The refused attempts have not mapped the region.
        let mapping = device.map(index, 3, Protection::Read)?;
        assert_eq!(mapping.first_difference(28), None);
        Ok(())
    },

    #[rule("a mapping without a region is EINVAL")]
    fn no_region(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        for index in [0, PAGE_SIZE as u64, 1 << 30] {
            let result = device.map(index, 1, Protection::Read);
            assert_error(result, EINVAL, &format!("index {index:#x}"));
        }
        Ok(())
    },

    /// Most regions are never mapped. A few have real grants, and each of those maps its own page
    /// after others were added and removed.
    #[rule("4000 regions on one file are found in any order")]
    #[long]
    fn thousands(world: &mut World) -> Verdict {
        const REGIONS: usize = 4000;
        const REAL: usize = 16;
        let share = world.share(REAL)?;
        world.granter.fill(&share, 29)?;
        let device = Gntdev::open()?;
        let mut random = Random::new(2);

        let mut regions = Vec::new();
        let mut real = Vec::new();
        for number in 0..REGIONS {
            if number % (REGIONS / REAL) == 7 {
                real.push(device.insert(&[share.grants[real.len()]])?);
            } else {
                let count = 1 + random.below(3);
                regions.push((device.insert(&vec![ANY; count])?, count as u32));
            }
        }
        random.shuffle(&mut regions);
        for (index, count) in regions.split_off(regions.len() / 2) {
            let what = format!("index {index:#x}");
            assert_error(device.remove(index, count + 1), ENOENT, &what);
            device.remove(index, count)?;
            assert_error(device.remove(index, count), ENOENT, &what);
        }
        for (page, index) in real.iter().enumerate() {
            let mapping = device.map(*index, 1, Protection::Read)?;
            let difference = mapping.first_difference_from(page * PAGE_SIZE, 29);
            assert_eq!(difference, None, "page {page} at index {index:#x}");
        }
        for (index, count) in regions {
            device.remove(index, count)?;
        }
        for index in real {
            device.remove(index, 1)?;
        }
        assert_eq!(device.insert(&[ANY])?, 0);
        Ok(())
    }
];

fn pages_of(index: u64) -> u64 {
    assert_eq!(index % PAGE_SIZE as u64, 0, "index {index:#x}");
    index / PAGE_SIZE as u64
}
