// SPDX-License-Identifier: GPL-2.0

//! Tests of the index of dma-bufs by file descriptor number.

#![forbid(unsafe_code)]

use crate::descriptor_index::{
    DescriptorIndex,
    Key,
    Room, //
};
use kernel::prelude::*;

#[kunit_tests(xen_gntdev_descriptor_index)]
mod tests {
    use super::*;

    fn insert(index: &mut DescriptorIndex<u32>, descriptor: u32, value: u32) -> Result<Key> {
        Ok(index.insert(Room::new()?, descriptor, value))
    }

    fn newest(index: &DescriptorIndex<u32>, descriptor: u32) -> Option<u32> {
        index.newest(descriptor).map(|(_, value)| *value)
    }

    #[test]
    fn an_empty_index_has_nothing() {
        let mut index = DescriptorIndex::<u32>::new();
        for descriptor in [0, 3, i32::MAX as u32, u32::MAX] {
            assert!(index.newest(descriptor).is_none());
            assert!(index.take_newest(descriptor).is_none());
        }
    }

    #[test]
    fn a_number_does_not_find_its_neighbours() -> Result {
        let mut index = DescriptorIndex::new();
        insert(&mut index, 4, 40)?;
        insert(&mut index, 6, 60)?;
        assert_eq!(newest(&index, 3), None);
        assert_eq!(newest(&index, 4), Some(40));
        assert_eq!(newest(&index, 5), None);
        assert_eq!(newest(&index, 6), Some(60));
        assert_eq!(newest(&index, 7), None);
        Ok(())
    }

    #[test]
    fn the_newest_of_a_number_counts() -> Result {
        let mut index = DescriptorIndex::new();
        for value in 1..=10 {
            insert(&mut index, 5, value)?;
            assert_eq!(newest(&index, 5), Some(value));
        }
        for value in (1..=10).rev() {
            assert_eq!(index.take_newest(5), Some(value));
        }
        assert_eq!(index.take_newest(5), None);
        Ok(())
    }

    #[test]
    fn an_older_one_can_go_first() -> Result {
        let mut index = DescriptorIndex::new();
        let old = insert(&mut index, 5, 1)?;
        let new = insert(&mut index, 5, 2)?;
        assert_eq!(index.remove(old), Some(1));
        assert_eq!(newest(&index, 5), Some(2));
        assert_eq!(index.remove(new), Some(2));
        assert_eq!(newest(&index, 5), None);
        Ok(())
    }

    #[test]
    fn when_the_newest_goes_the_older_one_counts() -> Result {
        let mut index = DescriptorIndex::new();
        insert(&mut index, 5, 1)?;
        let new = insert(&mut index, 5, 2)?;
        assert_eq!(index.remove(new), Some(2));
        assert_eq!(newest(&index, 5), Some(1));
        Ok(())
    }

    #[test]
    fn a_key_names_one_entry_for_good() -> Result {
        let mut index = DescriptorIndex::new();
        let first = insert(&mut index, 5, 1)?;
        assert_eq!(index.remove(first), Some(1));
        let second = insert(&mut index, 5, 2)?;
        assert!(first != second);
        assert_eq!(index.remove(first), None);
        assert_eq!(newest(&index, 5), Some(2));
        Ok(())
    }

    #[test]
    fn all_entries_are_shown() -> Result {
        let mut index = DescriptorIndex::new();
        insert(&mut index, 7, 70)?;
        insert(&mut index, 3, 30)?;
        insert(&mut index, 3, 31)?;
        let mut shown = index.iter();
        assert_eq!(shown.next(), Some((3, &31)));
        assert_eq!(shown.next(), Some((3, &30)));
        assert_eq!(shown.next(), Some((7, &70)));
        assert_eq!(shown.next(), None);
        Ok(())
    }
}
