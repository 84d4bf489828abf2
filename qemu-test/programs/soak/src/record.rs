// SPDX-License-Identifier: GPL-2.0

//! Figures from the start to the end.

use std::fmt;

use guest_test::counters::Counters;

use crate::bound;

/// Values of one figure.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Values {
    name: String,
    start: i64,
    now: i64,
    least: i64,
    most: i64,
}

/// All figures between two rounds: the first, the last, the least and the greatest values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    start: Counters,
    values: Vec<Values>,
}

impl Record {
    /// Begins with the figures of the start.
    pub fn new(start: Counters) -> Self {
        let mut record = Self {
            start,
            values: Vec::new(),
        };
        record.add(record.start.clone());
        record
    }

    /// Adds the figures after a round. Returns those that have changed by more than their bounds
    /// since the start.
    pub fn add(&mut self, figures: Counters) -> Vec<String> {
        for (name, value) in figures.iter() {
            match self.values.iter_mut().find(|values| values.name == name) {
                Some(values) => {
                    values.now = value;
                    values.least = values.least.min(value);
                    values.most = values.most.max(value);
                }
                None => {
                    let start = self.start.get(name).unwrap_or(0);
                    self.values.push(Values {
                        name: name.into(),
                        start,
                        now: value,
                        least: value.min(start),
                        most: value.max(start),
                    });
                }
            }
        }
        // The tables of a domain that has gone are not listed any more.
        for values in &mut self.values {
            if figures.get(&values.name).is_none() {
                values.now = 0;
                values.least = values.least.min(0);
            }
        }
        self.beyond(&figures)
    }

    /// Returns those of `figures` that differ from the start by more than their bounds.
    pub fn beyond(&self, figures: &Counters) -> Vec<String> {
        let mut names: Vec<&str> = self.start.iter().map(|(name, _)| name).collect();
        names.extend(
            figures
                .iter()
                .map(|(name, _)| name)
                .filter(|name| self.start.get(name).is_none()),
        );
        names
            .into_iter()
            .filter_map(|name| {
                let start = self.start.get(name).unwrap_or(0);
                let now = figures.get(name).unwrap_or(0);
                let bound = bound::of(name);
                (!bound.allows(now - start))
                    .then(|| format!("{name} is {now}, was {start} at the start (bound: {bound})"))
            })
            .collect()
    }
}

/// The table.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAME: &str = "Figure";
        const NUMBERS: [&str; 5] = ["Start", "End", "Least", "Most", "Bound"];
        let names = self.values.iter().map(|values| values.name.len());
        let width = names.chain([NAME.len()]).max().unwrap_or(0);
        let mut line = "=".repeat(width);
        let mut title = format!("{NAME:width$}");
        for number in NUMBERS {
            line.push_str("  ========");
            title.push_str(&format!("  {number:>8}"));
        }
        writeln!(f, "{line}\n{title}\n{line}")?;
        for values in &self.values {
            let Values {
                name,
                start,
                now,
                least,
                most,
            } = values;
            let bound = bound::of(name).to_string();
            writeln!(
                f,
                "{name:width$}  {start:>8}  {now:>8}  {least:>8}  {most:>8}  {bound:>8}"
            )?;
        }
        writeln!(f, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(text: &str) -> Counters {
        Counters::parse(text).unwrap()
    }

    #[test]
    fn a_figure_beyond_its_bound_is_told() {
        let mut record = Record::new(counters("files 7\nxen_free 9000\ngntdev_refused_maps 1\n"));
        let within = counters("files 7\nxen_free 8990\ngntdev_refused_maps 50\n");
        assert!(record.add(within).is_empty());
        let beyond = record.add(counters("files 8\nxen_free 5\ngntdev_refused_maps 50\n"));
        assert_eq!(beyond.len(), 2, "{beyond:?}");
        assert!(beyond[0].starts_with("files is 8, was 7"), "{beyond:?}");
        let back = counters("files 7\nxen_free 9000\ngntdev_refused_maps 50\n");
        assert!(record.add(back).is_empty());
    }

    #[test]
    fn a_figure_that_comes_or_goes_is_told() {
        let mut record = Record::new(counters("xen_d1_grants_in_use 2\ndomains 2\n"));
        let beyond = record.add(counters("xen_d5_grants_in_use 3\ndomains 2\n"));
        assert_eq!(beyond.len(), 2, "{beyond:?}");
        assert!(beyond[0].starts_with("xen_d1_grants_in_use is 0"));
        assert!(beyond[1].starts_with("xen_d5_grants_in_use is 3"));
    }

    #[test]
    fn the_table_has_start_end_least_and_most() {
        let mut record = Record::new(counters("files 7\n"));
        for value in [9, 6, 8] {
            record.add(counters(&format!("files {value}\n")));
        }
        let text = record.to_string();
        let row = text.lines().nth(3).unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words, ["files", "7", "8", "6", "9", "equal"]);
        let widths: Vec<usize> = text.lines().map(str::len).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    }
}
