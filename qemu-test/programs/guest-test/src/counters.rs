// SPDX-License-Identifier: GPL-2.0

//! Counters as text: a name and a number in each line.

use std::fmt;

/// Names and values of counters, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    values: Vec<(String, i64)>,
}

impl Counters {
    /// Parses lines of a name and a number, at least one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let values: Option<Vec<_>> = text
            .lines()
            .map(|line| {
                let (name, value) = line.split_once(' ')?;
                Some((name.to_string(), value.parse().ok()?))
            })
            .collect();
        match values {
            Some(values) if !values.is_empty() => Ok(Self { values }),
            _ => Err(format!("not counters: {text:?}")),
        }
    }

    /// Adds a counter at the end.
    pub fn push(&mut self, name: impl Into<String>, value: i64) {
        self.values.push((name.into(), value));
    }

    /// Returns the names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
    }

    /// Returns the value of a counter, if there is one of that name.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Returns the counters whose names begin with `prefix`, without it.
    pub fn of(&self, prefix: &str) -> Self {
        let values = self
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_string(), value)))
            .collect();
        Self { values }
    }

    /// Returns the counters that are not as in `before`, and by how much they are larger.
    pub fn changes_since(&self, before: &Self) -> Vec<(&str, i64)> {
        self.iter()
            .map(|(name, value)| (name, value - before.get(name).unwrap_or(0)))
            .filter(|(_, change)| *change != 0)
            .collect()
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .try_for_each(|(name, value)| writeln!(f, "{name} {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_a_number() {
        let text = "open_files 2\nlost_frames 0\n";
        let counters = Counters::parse(text).unwrap();
        assert_eq!(counters.get("open_files"), Some(2));
        assert_eq!(counters.get("lost_frames"), Some(0));
        assert_eq!(counters.get("open"), None);
        assert_eq!(counters.to_string(), text);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "open_files\n", "open_files two\n", "open_files 2 3\n"] {
            assert!(Counters::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_selects() {
        let counters = Counters::parse("a_one 1\nb_one 2\na_two 3\n").unwrap();
        assert_eq!(counters.of("a_").to_string(), "one 1\ntwo 3\n");
    }

    #[test]
    fn new_and_changed_counters_are_changes() {
        let before = Counters::parse("one 1\ntwo 2\nthree 3\n").unwrap();
        let after = Counters::parse("one 1\ntwo 1\nthree 5\nfour 4\n").unwrap();
        let changes = [("two", -1), ("three", 2), ("four", 4)];
        assert_eq!(after.changes_since(&before), changes);
    }
}
