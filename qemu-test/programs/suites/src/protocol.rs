// SPDX-License-Identifier: GPL-2.0

//! How dom0's suites tell a domU's `granter` what to do.
//!
//! Two xenstore nodes below the domU's `data/granter`: dom0 writes a numbered
//! line to `request`, the domU does it and writes the answer under the same
//! number to `response`.
//!
//! ```text
//! request   7 share 3 rw        response  7 ok 0 8-10
//! request   8 read 0 4095       response  8 ok 42
//! request   9 end 5             response  9 error no share 5
//! ```

use std::fmt;
use std::str::FromStr;

use xen_guest::grant_share::Access;

/// The request's node, in the domU's own part of xenstore.
pub const REQUEST: &str = "data/granter/request";
/// The response's node.
pub const RESPONSE: &str = "data/granter/response";

/// Something for the granter to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// End all shares: a new client begins.
    Reset,
    /// Grant this many pages.
    Share(usize, Access),
    /// Fill a share with a pattern.
    Fill(usize, u32),
    /// Compare a share with a pattern.
    Compare(usize, u32),
    /// Read a byte of a share.
    Read(usize, usize),
    /// Set a byte of a share.
    Write(usize, usize, u8),
    /// End a share.
    End(usize),
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => write!(f, "reset"),
            Self::Share(pages, Access::ReadOnly) => write!(f, "share {pages} ro"),
            Self::Share(pages, Access::ReadWrite) => write!(f, "share {pages} rw"),
            Self::Fill(id, seed) => write!(f, "fill {id} {seed}"),
            Self::Compare(id, seed) => write!(f, "compare {id} {seed}"),
            Self::Read(id, at) => write!(f, "read {id} {at}"),
            Self::Write(id, at, value) => write!(f, "write {id} {at} {value}"),
            Self::End(id) => write!(f, "end {id}"),
        }
    }
}

impl FromStr for Command {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let command = match words[..] {
            ["reset"] => Self::Reset,
            ["share", pages, "ro"] => Self::Share(number(pages)?, Access::ReadOnly),
            ["share", pages, "rw"] => Self::Share(number(pages)?, Access::ReadWrite),
            ["fill", id, seed] => Self::Fill(number(id)?, number(seed)?),
            ["compare", id, seed] => Self::Compare(number(id)?, number(seed)?),
            ["read", id, at] => Self::Read(number(id)?, number(at)?),
            ["write", id, at, value] => Self::Write(number(id)?, number(at)?, number(value)?),
            ["end", id] => Self::End(number(id)?),
            _ => return Err(format!("not a command: {text:?}")),
        };
        Ok(command)
    }
}

/// Reads a number of any kind.
pub fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: {text:?}"))
}

/// Writes grant references as ranges, since a xenstore value is short and
/// references are mostly handed out in order: `8-519,522`.
pub fn ranges(references: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for reference in references {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *reference => *last = *reference,
            _ => ranges.push((*reference, *reference)),
        }
    }
    let texts: Vec<String> = ranges
        .iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    texts.join(",")
}

/// Reads what [`ranges`] wrote.
pub fn references(text: &str) -> Result<Vec<u32>, String> {
    let mut references = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        references.extend(number::<u32>(first)?..=number::<u32>(last)?);
    }
    Ok(references)
}

/// A line and its number, in both directions.
pub fn numbered(line: &str) -> Option<(u64, &str)> {
    let (number, text) = line.split_once(' ')?;
    Some((number.parse().ok()?, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_the_journey() {
        for command in [
            Command::Reset,
            Command::Share(512, Access::ReadOnly),
            Command::Share(1, Access::ReadWrite),
            Command::Fill(3, u32::MAX),
            Command::Compare(3, 0),
            Command::Read(0, 4095),
            Command::Write(1, 4096, 255),
            Command::End(7),
        ] {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
    }

    #[test]
    fn other_text_is_no_command() {
        for text in [
            "",
            "share",
            "share 1",
            "share x rw",
            "write 0 0 256",
            "end 1 2",
        ] {
            assert!(text.parse::<Command>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn references_survive_as_ranges() {
        assert_eq!(ranges(&[8, 9, 10, 12, 11]), "8-10,12,11");
        for list in [vec![5], vec![8, 9, 10, 12, 11], (100..900).collect()] {
            assert_eq!(references(&ranges(&list)), Ok(list));
        }
    }

    #[test]
    fn broken_ranges_are_refused() {
        for text in ["", "1,", "a-b", "-5"] {
            assert!(references(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_line_begins_with_its_number() {
        assert_eq!(numbered("12 share 1 rw"), Some((12, "share 1 rw")));
        assert_eq!(numbered("share 1 rw"), None);
    }
}
