// SPDX-License-Identifier: GPL-2.0

//! Amounts of work, by kind.

use std::collections::BTreeMap;
use std::fmt;

/// Kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Operations of the fuzzer that one thread executes.
    Operations,
    /// Calls of the fuzzer in several threads.
    ThreadCalls,
    /// Rules of regions, mappings, notifications and copies.
    GrantRules,
    /// Rules of dma-bufs.
    DmaBufRules,
    /// Events that were received.
    Events,
    /// MiB through libxenvchan.
    StreamMib,
    /// Ends of streams that were killed.
    KilledEnds,
    /// MiB that went to a disk or came from it.
    DiskMib,
    /// Domains that xl has made.
    Domains,
    /// Domains that were destroyed amid I/O.
    DeathsUnderLoad,
    /// Domains that were saved and restored.
    Saved,
    /// Domains that were destroyed while their pages were mapped, or in a pipe.
    DeathsWhileMapped,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Operations,
        Self::ThreadCalls,
        Self::GrantRules,
        Self::DmaBufRules,
        Self::Events,
        Self::StreamMib,
        Self::KilledEnds,
        Self::DiskMib,
        Self::Domains,
        Self::DeathsUnderLoad,
        Self::Saved,
        Self::DeathsWhileMapped,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Operations => "operations of the fuzzer, one thread",
            Self::ThreadCalls => "calls of the fuzzer, four threads",
            Self::GrantRules => "rules of regions, mappings, copies",
            Self::DmaBufRules => "rules of dma-bufs",
            Self::Events => "events received",
            Self::StreamMib => "MiB through libxenvchan",
            Self::KilledEnds => "ends of streams killed",
            Self::DiskMib => "MiB to and from disks",
            Self::Domains => "domains made",
            Self::DeathsUnderLoad => "domains destroyed amid I/O",
            Self::Saved => "domains saved and restored",
            Self::DeathsWhileMapped => "domains destroyed while mapped",
        }
    }
}

/// Numbers by kind of work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done(BTreeMap<Kind, u64>);

impl Done {
    /// Adds `number` of a kind.
    pub fn count(&mut self, kind: Kind, number: u64) {
        *self.0.entry(kind).or_default() += number;
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        for (kind, number) in &other.0 {
            self.count(*kind, *number);
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, number)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{number} {}", kind.title())?;
        }
        Ok(())
    }
}

/// All work of a run, as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(Done);

impl Tally {
    /// Adds what a lane has done.
    pub fn add(&mut self, done: &Done) {
        self.0.add(done);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}  {}", "=".repeat(38), "=".repeat(10));
        writeln!(f, "{line}\n{:38}  {:>10}\n{line}", "Work", "Number")?;
        for kind in Kind::ALL {
            let number = self.0 .0.get(&kind).copied().unwrap_or(0);
            writeln!(f, "{:38}  {number:>10}", kind.title())?;
        }
        writeln!(f, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_kind_once() {
        let mut done = Done::default();
        done.count(Kind::Events, 3);
        done.count(Kind::Events, 4);
        let mut tally = Tally::default();
        tally.add(&done);
        tally.add(&done);
        let text = tally.to_string();
        let row = text.lines().find(|row| row.starts_with("events")).unwrap();
        assert!(row.ends_with(" 14"), "{row}");
        assert_eq!(text.lines().count(), Kind::ALL.len() + 4);
        assert_eq!(done.to_string(), "7 events received");
    }
}
