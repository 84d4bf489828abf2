// SPDX-License-Identifier: GPL-2.0

//! The index of the regions of a file, compared with a list.

use crate::{
    cases,
    maple_tree::IS_OUT_OF_MEMORY,
    prelude::{EINVAL, ENOMEM},
    region_index::RegionIndex,
    sync::Arc,
};
use pinned_init::stack_pin_init;
use proptest::prelude::*;

/// Last page that an offset of a file can name.
const LAST_PAGE: usize = i64::MAX as usize >> 12;

#[derive(Clone, Debug)]
enum Step {
    Insert(usize),
    Get(usize, Option<usize>),
    GetContaining(usize),
    NextFrom(usize),
    Remove(usize, Option<usize>),
    /// Removal of the region that was the nth one to be inserted, at a page.
    RemoveRegion(usize, usize),
    /// Removals have memory, or not.
    Memory(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let page = || prop_oneof![9 => 0..60_usize, 1 => any::<usize>()];
    let count = || prop_oneof![Just(None), (0..8_usize).prop_map(Some)];
    prop_oneof![
        6 => prop_oneof![9 => 0..8_usize, 1 => any::<usize>(), 1 => Just(LAST_PAGE / 2)]
            .prop_map(Step::Insert),
        2 => (page(), count()).prop_map(|(page, count)| Step::Get(page, count)),
        2 => page().prop_map(Step::GetContaining),
        2 => page().prop_map(Step::NextFrom),
        4 => (page(), count()).prop_map(|(page, count)| Step::Remove(page, count)),
        2 => (page(), 0..30_usize).prop_map(|(page, n)| Step::RemoveRegion(page, n)),
        1 => any::<bool>().prop_map(Step::Memory),
    ]
}

/// Range of the model.
struct Range {
    first: usize,
    count: usize,
    /// `None` if the range could not be freed.
    name: Option<usize>,
}

/// The model: ranges in order.
#[derive(Default)]
struct Model {
    ranges: Vec<Range>,
    has_no_memory: bool,
}

impl Model {
    fn insert(&mut self, name: usize, count: usize) -> Option<usize> {
        let mut free = 0;
        let mut place = 0;
        for range in &self.ranges {
            if range.first - free >= count {
                break;
            }
            free = range.first + range.count;
            place += 1;
        }
        let last = free.checked_add(count - 1)?;
        if last > LAST_PAGE {
            return None;
        }
        self.ranges.insert(
            place,
            Range {
                first: free,
                count,
                name: Some(name),
            },
        );
        Some(free)
    }

    fn find(&self, first: usize, count: Option<usize>) -> Option<usize> {
        self.ranges.iter().position(|range| {
            range.first == first
                && range.name.is_some()
                && count.is_none_or(|count| count == range.count)
        })
    }

    fn remove(&mut self, place: usize) -> Option<usize> {
        if self.has_no_memory {
            self.ranges[place].name.take()
        } else {
            self.ranges.remove(place).name
        }
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn the_index_is_a_list_of_ranges(steps in prop::collection::vec(step(), 0..80)) {
        let mut regions = Vec::new();
        compare(steps, &mut regions)?;
        for region in regions {
            prop_assert_eq!(Arc::strong_count(&region), 1, "an index drops its regions");
        }
    }
}

/// Takes `steps` with the index and with the model, and adds what was inserted to `regions`.
fn compare(steps: Vec<Step>, regions: &mut Vec<Arc<usize>>) -> Result<(), TestCaseError> {
    stack_pin_init!(let index = RegionIndex::<usize>::new());
    let mut model = Model::default();
    IS_OUT_OF_MEMORY.set(false);
    for step in steps {
        match step {
            Step::Insert(count) => {
                let name = regions.len();
                let region = Arc::new(name);
                let answer = index.insert(region.clone(), count);
                if count == 0 {
                    prop_assert_eq!(answer, Err(EINVAL));
                    continue;
                }
                prop_assert_eq!(answer, model.insert(name, count).ok_or(ENOMEM));
                regions.push(region);
            }
            Step::Get(first, count) => {
                let expected = model
                    .find(first, count)
                    .and_then(|place| model.ranges[place].name);
                prop_assert_eq!(index.get(first, count).map(|found| *found), expected);
            }
            Step::GetContaining(page) => {
                let expected = model
                    .ranges
                    .iter()
                    .find(|range| range.first <= page && page - range.first < range.count)
                    .and_then(|range| Some((range.first, range.name?)));
                let found = index.get_containing(page);
                prop_assert_eq!(found.map(|(first, found)| (first, *found)), expected);
            }
            Step::NextFrom(page) => {
                let expected = model
                    .ranges
                    .iter()
                    .filter(|range| range.first >= page)
                    .find_map(|range| Some((range.first, range.name?)));
                let found = index.next_from(page);
                prop_assert_eq!(found.map(|(first, found)| (first, *found)), expected);
            }
            Step::Remove(first, count) => {
                let expected = model
                    .find(first, count)
                    .and_then(|place| model.remove(place));
                prop_assert_eq!(index.remove(first, count).map(|found| *found), expected);
            }
            Step::RemoveRegion(first, name) => {
                let Some(region) = regions.get(name) else {
                    continue;
                };
                let expected = model
                    .find(first, None)
                    .filter(|&place| model.ranges[place].name == Some(name))
                    .and_then(|place| model.remove(place));
                let found = index.remove_region(first, region);
                prop_assert_eq!(found.map(|found| *found), expected);
            }
            Step::Memory(has_memory) => {
                IS_OUT_OF_MEMORY.set(!has_memory);
                model.has_no_memory = !has_memory;
            }
        }
    }
    Ok(())
}
