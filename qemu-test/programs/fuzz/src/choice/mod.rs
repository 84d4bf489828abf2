// SPDX-License-Identifier: GPL-2.0

//! Choice of the operations of a run from a seed.

mod chooser;
mod copy;
mod device;
mod dma_buf;
mod mapping;
mod narrow;
mod owner;
mod process;

use crate::operation::Operation;
use crate::operation::FILES;
use crate::operation::SHARES;

use chooser::Chooser;

/// Maximum number of pages of a share and of grants of a region.
const MOST_PAGES: usize = 4;

/// Number of seeds for which a domU lives.
const SEEDS_OF_DOMU: u64 = 100;
/// Number of operations before its end.
const END_OF_DOMU: usize = 500;

/// Chooses the arguments of an operation.
type Choice = fn(&mut Chooser) -> Operation;

/// Choices, and their weights. Operations of a domU take milliseconds and are seldom chosen, and a
/// copy of the process takes longer than the other operations together.
const CHOICES: [(usize, Choice); 42] = [
    (3, owner::share),
    (1, owner::unshare),
    (3, owner::read),
    (3, owner::write),
    (6, device::open),
    (3, device::close),
    (60, device::insert),
    (3, device::insert_claiming),
    (35, device::remove),
    (90, device::map),
    (30, device::notify),
    (6, device::send),
    (8, device::receive),
    (20, device::place_of),
    (10, device::read),
    (8, device::poll),
    (10, device::bad_argument),
    (12, device::read_only_argument),
    (60, copy::copy),
    (30, narrow::ioctl),
    (40, dma_buf::export),
    (20, dma_buf::close),
    (40, dma_buf::map),
    (12, dma_buf::wait),
    (8, dma_buf::make_memory),
    (4, dma_buf::close_memory),
    (20, dma_buf::import),
    (15, dma_buf::end_import),
    (35, mapping::split),
    (75, mapping::unmap),
    (35, mapping::protect),
    (8, mapping::discard),
    (15, mapping::relocate),
    (4, mapping::grow),
    (60, mapping::load),
    (60, mapping::store),
    (15, mapping::splice),
    (10, mapping::drain),
    (1, process::fork),
    (1, process::start_child),
    (2, process::kill_child),
    (1, process::run_program),
];

/// Returns the first `count` operations that `seed` names. The first ones open files and grant
/// pages.
///
/// The domU ends amid the operations of each hundredth seed.
pub fn operations(seed: u64, count: usize) -> Vec<Operation> {
    let mut chooser = Chooser::new(seed);
    let all = CHOICES.iter().map(|(weight, _)| weight).sum();
    let mut first: Vec<_> = (0..FILES).map(device::open_new).collect();
    first.extend((0..SHARES).map(|slot| owner::share_in(&mut chooser, slot)));
    let mut operations = Vec::with_capacity(count);
    while operations.len() < count {
        let has_end = seed != 0 && seed % SEEDS_OF_DOMU == 0;
        let operation = match first.get(operations.len()) {
            Some(first) => first.clone(),
            None if has_end && operations.len() == END_OF_DOMU => Operation::EndDomu,
            None => choice_at(chooser.below(all))(&mut chooser),
        };
        chooser.guess.follow(&operation);
        operations.push(operation);
    }
    operations
}

/// Returns the choice whose share of the weights contains `number`.
fn choice_at(mut number: usize) -> Choice {
    for (weight, choice) in CHOICES {
        if number < weight {
            return choice;
        }
        number -= weight;
    }
    unreachable!("the number is below the sum of the weights")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_seed_names_the_same_operations_each_time() {
        assert_eq!(operations(7, 200), operations(7, 200));
        assert_eq!(operations(7, 200)[..50], operations(7, 50));
        assert_ne!(operations(7, 50), operations(8, 50));
    }

    #[test]
    fn the_domu_ends_with_some_seeds() {
        let has_end = |seed| operations(seed, 1000).contains(&Operation::EndDomu);
        assert!(has_end(100) && has_end(700));
        assert!(!has_end(1) && !has_end(99));
        assert!(!operations(100, 500).contains(&Operation::EndDomu));
    }

    #[test]
    fn each_operation_is_chosen() {
        let mut counts = BTreeMap::new();
        for operation in operations(1, 20_000) {
            let name = match operation {
                Operation::Narrow(_) => "Narrow".into(),
                operation => operation.name(),
            };
            *counts.entry(name).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), CHOICES.len(), "{counts:?}");
    }
}
