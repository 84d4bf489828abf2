// SPDX-License-Identifier: GPL-2.0

//! Totals of the grant device's driver, from debugfs.

use std::fs;
use std::io;

use crate::counters::Counters;

const FILE: &str = "/sys/kernel/debug/xen/gntdev";

/// Totals whose growth is no leak: each counts events that a correct program can cause.
const EVENTS: [&str; 3] = ["refused_maps", "refused_maps_full", "refused_own_grants"];

/// Reads the totals. Linux's C driver has none.
pub fn read() -> io::Result<Counters> {
    let text = fs::read_to_string(FILE)
        .map_err(|error| io::Error::new(error.kind(), format!("{FILE}: {error}")))?;
    Counters::parse(&text).map_err(io::Error::other)
}

/// Returns the changes from `before` to `now` that mean a leak: more things than before, or a loss.
pub fn leaks<'a>(now: &'a Counters, before: &Counters) -> Vec<(&'a str, i64)> {
    let mut changes = now.changes_since(before);
    changes.retain(|(name, change)| *change > 0 && !EVENTS.contains(name));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_a_leak_but_for_events() {
        let before = "open_files 2\nregions 1\nrefused_maps 5\nlost_frames 0\n";
        let now = "open_files 1\nregions 2\nrefused_maps 6\nlost_frames 3\n";
        let now = Counters::parse(now).unwrap();
        let before = Counters::parse(before).unwrap();
        assert_eq!(leaks(&now, &before), [("regions", 1), ("lost_frames", 3)]);
        assert!(leaks(&before, &before).is_empty());
    }
}
