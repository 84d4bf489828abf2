// SPDX-License-Identifier: GPL-2.0

//! Random choice of slots and values.

use suites::random::Random;

use crate::guess::Guess;

/// Generator of random numbers, and what the slots probably hold after the operations so far.
pub struct Chooser {
    random: Random,
    /// Contents of the slots.
    pub guess: Guess,
}

/// One choice of so many ignores the guess, so that stale and missing things are used as well.
const ANY_SLOT: usize = 12;

impl Chooser {
    /// The sequence that `seed` names.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        // The generator begins with small numbers if the seed is one.
        for _ in 0..16 {
            random.below(1);
        }
        Self {
            random,
            guess: Guess::default(),
        }
    }

    /// Returns a number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit)
    }

    /// Returns true in one of `count` cases.
    pub fn one_of(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Returns one of `values`.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// Returns a slot of `slots`, mostly one whose contents are `wanted`.
    pub fn slot<T, const N: usize>(
        &mut self,
        slots: fn(&Guess) -> &[Option<T>; N],
        wanted: impl Fn(Option<&T>) -> bool,
    ) -> usize {
        let good: Vec<usize> = slots(&self.guess)
            .iter()
            .enumerate()
            .filter_map(|(slot, held)| wanted(held.as_ref()).then_some(slot))
            .collect();
        if good.is_empty() || self.one_of(ANY_SLOT) {
            return self.below(N);
        }
        self.pick(&good)
    }

    /// Returns a slot of `slots`, mostly one that is not empty.
    pub fn held<T, const N: usize>(&mut self, slots: fn(&Guess) -> &[Option<T>; N]) -> usize {
        self.slot(slots, |held| held.is_some())
    }

    /// Returns a slot of `slots`, mostly an empty one.
    pub fn free<T, const N: usize>(&mut self, slots: fn(&Guess) -> &[Option<T>; N]) -> usize {
        self.slot(slots, |held| held.is_none())
    }

    /// Returns the slot of an open file.
    pub fn file(&mut self) -> usize {
        self.held(|guess| &guess.files)
    }

    /// Returns the slot of a mapping.
    pub fn mapping(&mut self) -> usize {
        self.held(|guess| &guess.mappings)
    }
}
