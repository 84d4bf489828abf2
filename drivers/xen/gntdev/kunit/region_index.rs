// SPDX-License-Identifier: GPL-2.0

//! Tests of the index of the regions of an open file.

#![forbid(unsafe_code)]

use crate::region_index::RegionIndex;
use kernel::{
    prelude::*,
    sync::Arc, //
};

#[kunit_tests(xen_gntdev_region_index)]
mod tests {
    use super::*;

    fn index() -> Result<Pin<KBox<RegionIndex<usize>>>> {
        KBox::pin_init(RegionIndex::new(), GFP_KERNEL)
    }

    fn region(name: usize) -> Result<Arc<usize>> {
        Ok(Arc::new(name, GFP_KERNEL)?)
    }

    #[test]
    fn the_first_region_is_at_zero() -> Result {
        assert_eq!(index()?.insert(region(1)?, 5)?, 0);
        Ok(())
    }

    #[test]
    fn regions_do_not_overlap() -> Result {
        let index = index()?;
        let mut expected = 0;
        for pages in 1..=64 {
            assert_eq!(index.insert(region(pages)?, pages)?, expected);
            expected += pages;
        }
        Ok(())
    }

    #[test]
    fn a_region_is_found_at_its_first_page_only() -> Result {
        let index = index()?;
        index.insert(region(1)?, 3)?;
        index.insert(region(2)?, 4)?;
        assert_eq!(index.get(3, None).map(|found| *found), Some(2));
        for page in [1, 2, 4, 5, 6, 7, usize::MAX] {
            assert!(index.get(page, None).is_none());
        }
        Ok(())
    }

    #[test]
    fn a_count_must_be_that_of_the_region() -> Result {
        let index = index()?;
        index.insert(region(1)?, 3)?;
        assert!(index.get(0, Some(3)).is_some());
        for count in [0, 1, 2, 4, usize::MAX] {
            assert!(index.get(0, Some(count)).is_none());
            assert!(index.remove(0, Some(count)).is_none());
        }
        Ok(())
    }

    #[test]
    fn a_removed_region_is_gone_and_its_range_free() -> Result {
        let index = index()?;
        index.insert(region(1)?, 2)?;
        index.insert(region(2)?, 2)?;
        index.insert(region(3)?, 2)?;
        assert_eq!(index.remove(2, Some(2)).map(|found| *found), Some(2));
        assert!(index.get(2, None).is_none());
        assert!(index.remove(2, Some(2)).is_none());
        assert_eq!(index.insert(region(4)?, 3)?, 6);
        assert_eq!(index.insert(region(5)?, 2)?, 2);
        Ok(())
    }

    #[test]
    fn another_region_at_the_place_is_not_removed() -> Result {
        let index = index()?;
        let first = region(1)?;
        index.insert(first.clone(), 1)?;
        assert!(index.remove(0, None).is_some());
        index.insert(region(2)?, 1)?;
        assert!(index.remove_region(0, &first).is_none());
        assert_eq!(index.get(0, None).map(|found| *found), Some(2));
        Ok(())
    }

    #[test]
    fn every_page_of_a_region_leads_to_it() -> Result {
        let index = index()?;
        index.insert(region(1)?, 3)?;
        index.insert(region(2)?, 2)?;
        for (page, expected) in [(0, (0, 1)), (2, (0, 1)), (3, (3, 2)), (4, (3, 2))] {
            let found = index.get_containing(page);
            assert_eq!(
                found.map(|(first, region)| (first, *region)),
                Some(expected)
            );
        }
        assert!(index.get_containing(5).is_none());
        assert!(index.get_containing(usize::MAX).is_none());
        Ok(())
    }

    #[test]
    fn regions_are_listed_in_order() -> Result {
        let index = index()?;
        for name in 0..5 {
            index.insert(region(name)?, 10)?;
        }
        index.remove(20, None);
        for (page, expected) in [(0, (0, 0)), (1, (10, 1)), (10, (10, 1)), (11, (30, 3))] {
            let found = index.next_from(page);
            assert_eq!(
                found.map(|(first, region)| (first, *region)),
                Some(expected)
            );
        }
        assert!(index.next_from(41).is_none());
        Ok(())
    }

    #[test]
    fn no_pages_are_invalid() -> Result {
        assert_eq!(index()?.insert(region(1)?, 0), Err(EINVAL));
        Ok(())
    }

    #[test]
    fn more_pages_than_offsets_do_not_fit() -> Result {
        let index = index()?;
        assert!(index.insert(region(1)?, usize::MAX).is_err());
        assert!(index
            .insert(region(1)?, (i64::MAX as usize >> 12) + 2)
            .is_err());
        assert_eq!(index.insert(region(2)?, 1)?, 0);
        Ok(())
    }

    #[test]
    fn huge_regions_fill_the_offsets() -> Result {
        let index = index()?;
        let half = (i64::MAX as usize >> 12).div_ceil(2);
        assert_eq!(index.insert(region(1)?, half)?, 0);
        assert_eq!(index.insert(region(2)?, half)?, half);
        assert_eq!(index.insert(region(3)?, 1), Err(ENOMEM));
        assert!(index.remove(0, Some(half)).is_some());
        assert_eq!(index.insert(region(3)?, 1)?, 0);
        Ok(())
    }

    #[test]
    fn four_thousand_regions_are_told_apart() -> Result {
        let index = index()?;
        for name in 0..4000 {
            assert_eq!(index.insert(region(name)?, 2)?, 2 * name);
        }
        for name in (0..4000).step_by(3) {
            assert_eq!(
                index.remove(2 * name, Some(2)).map(|found| *found),
                Some(name)
            );
        }
        for name in 0..4000 {
            let found = index.get(2 * name, Some(2)).map(|found| *found);
            assert_eq!(found, (name % 3 != 0).then_some(name));
        }
        Ok(())
    }

    /// State of the index after a removal that had no memory to free the range.
    #[test]
    fn a_region_is_gone_although_its_range_stays() -> Result {
        let index = index()?;
        let removed = region(2)?;
        index.insert(region(1)?, 2)?;
        index.insert(removed.clone(), 3)?;
        index.insert(region(3)?, 2)?;
        assert!(index.vacate(2, Some(4), |_| true).is_none());
        assert!(index.vacate(2, None, |_| false).is_none());
        let found = index.vacate(2, Some(3), |_| true);
        assert_eq!(found.map(|found| *found), Some(2));

        assert!(index.get(2, None).is_none());
        assert!(index.get(2, Some(3)).is_none());
        assert!(index.get_containing(3).is_none());
        let next = index.next_from(1);
        assert_eq!(next.map(|(first, region)| (first, *region)), Some((5, 3)));
        assert!(index.remove(2, None).is_none());
        assert!(index.remove_region(2, &removed).is_none());
        assert_eq!(index.insert(region(4)?, 1)?, 7);
        drop(index);
        assert!(Arc::into_unique_or_drop(removed).is_some());
        Ok(())
    }

    #[test]
    fn an_index_drops_its_regions() -> Result {
        let kept = region(7)?;
        {
            let index = index()?;
            for _ in 0..100 {
                index.insert(kept.clone(), 1)?;
            }
        }
        assert!(Arc::into_unique_or_drop(kept).is_some());
        Ok(())
    }
}
