// SPDX-License-Identifier: GPL-2.0

//! Numbers of operations, by their names and results.

use std::collections::BTreeMap;
use std::fmt;

use crate::outcome::Outcome;

/// Numbers of operations that succeeded, that were refused, and that had nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count([usize; 3]);

/// Numbers of operations, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, Count>);

/// Column of a [`Tally`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Operations that succeeded.
    Succeeded,
    /// Operations that were refused.
    Refused,
    /// Operations that had nothing to do.
    Nothing,
}

impl Column {
    /// Returns the column for an outcome.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Error(_) => Self::Refused,
            Outcome::Nothing => Self::Nothing,
            _ => Self::Succeeded,
        }
    }
}

impl Tally {
    /// Counts an operation.
    pub fn count(&mut self, name: &str, column: Column) {
        self.0.entry(name.into()).or_default().0[column as usize] += 1;
    }

    /// Adds the numbers of another run.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            let sum = &mut self.0.entry(name.clone()).or_default().0;
            for (sum, number) in sum.iter_mut().zip(count.0) {
                *sum += number;
            }
        }
    }

    /// Reads the text that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut tally = Self::default();
        for entry in text.strip_prefix(TITLE)?.split_terminator(',') {
            let (name, numbers) = entry.trim().split_once(' ')?;
            let mut numbers = numbers.split('/');
            let mut count = Count::default();
            for number in &mut count.0 {
                *number = numbers.next()?.parse().ok()?;
            }
            tally.0.insert(name.to_string(), count);
        }
        Some(tally)
    }
}

/// Begin of the text of a tally.
const TITLE: &str = "succeeded/refused/nothing to do:";

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TITLE)?;
        for (name, Count([succeeded, refused, nothing])) in &self.0 {
            write!(f, " {name} {succeeded}/{refused}/{nothing},")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_survives_the_journey() {
        let mut tally = Tally::default();
        tally.count("Drain", Column::of(&Outcome::Nothing));
        tally.count("Drain", Column::of(&Outcome::Done));
        tally.count("Unmap", Column::of(&Outcome::Error(22)));
        assert_eq!(Tally::parse(&tally.to_string()), Some(tally.clone()));
        assert_eq!(Tally::parse(TITLE), Some(Tally::default()));
        tally.add(&tally.clone());
        assert_eq!(tally.0["Drain"], Count([2, 0, 2]));
        assert_eq!(tally.0["Unmap"], Count([0, 2, 0]));
    }
}
