// SPDX-License-Identifier: GPL-2.0

//! Protocol between dom0's suites and program `granter` in a domU.
//!
//! Two xenstore nodes below the domU's `data/granter`: dom0 writes a numbered line to `request`,
//! the domU does it and writes the answer under the same number to `response`.
//!
//! ```text
//! request   7 share 3 rw        response  7 ok 0 8-10
//! request   8 read 0 4095       response  8 ok 42
//! request   9 end 5             response  9 error no piece 5
//! ```
//!
//! The number in a command is that of a piece of memory: pages that the domU shares, or pages of
//! dom0 that it has mapped.

use std::fmt;
use std::str::FromStr;

use xen_grants::grant_share::Access;

/// The request's node, in the domU's own part of xenstore.
pub const REQUEST: &str = "data/granter/request";
/// The response's node.
pub const RESPONSE: &str = "data/granter/response";

/// Something for the granter to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Give up all pieces: a new client begins.
    Reset,
    /// Grant this many pages.
    Share(usize, Access),
    /// Grant this many pages of a file in memory, by a dma-buf.
    ShareFile(usize),
    /// Map what dom0 granted under these references.
    Map(Vec<u32>, Access),
    /// Make a dma-buf of what dom0 granted under these references, with flags, and map it.
    Export(Vec<u32>, u32),
    /// Fill a piece with a pattern.
    Fill(usize, u32),
    /// Compare a piece with a pattern.
    Compare(usize, u32),
    /// Read a byte of a piece.
    Read(usize, usize),
    /// Set a byte of a piece.
    Write(usize, usize, u8),
    /// Give up a piece.
    End(usize),
    /// Try to map what this domain granted to itself, and tell the error numbers.
    MapOwn,
    /// Tell how much memory is free, in kB.
    FreeMemory,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => write!(f, "reset"),
            Self::Share(pages, access) => write!(f, "share {pages} {}", word(*access)),
            Self::ShareFile(pages) => write!(f, "share-file {pages}"),
            Self::Map(references, access) => {
                write!(f, "map {} {}", ranges(references), word(*access))
            }
            Self::Export(references, flags) => {
                write!(f, "export {} {flags}", ranges(references))
            }
            Self::Fill(id, seed) => write!(f, "fill {id} {seed}"),
            Self::Compare(id, seed) => write!(f, "compare {id} {seed}"),
            Self::Read(id, at) => write!(f, "read {id} {at}"),
            Self::Write(id, at, value) => write!(f, "write {id} {at} {value}"),
            Self::End(id) => write!(f, "end {id}"),
            Self::MapOwn => write!(f, "map-own"),
            Self::FreeMemory => write!(f, "free-memory"),
        }
    }
}

impl FromStr for Command {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let command = match words[..] {
            ["reset"] => Self::Reset,
            ["share", pages, word] => Self::Share(number(pages)?, access(word)?),
            ["share-file", pages] => Self::ShareFile(number(pages)?),
            ["map", list, word] => Self::Map(references(list)?, access(word)?),
            ["export", list, flags] => Self::Export(references(list)?, number(flags)?),
            ["fill", id, seed] => Self::Fill(number(id)?, number(seed)?),
            ["compare", id, seed] => Self::Compare(number(id)?, number(seed)?),
            ["read", id, at] => Self::Read(number(id)?, number(at)?),
            ["write", id, at, value] => Self::Write(number(id)?, number(at)?, number(value)?),
            ["end", id] => Self::End(number(id)?),
            ["map-own"] => Self::MapOwn,
            ["free-memory"] => Self::FreeMemory,
            _ => return Err(format!("not a command: {text:?}")),
        };
        Ok(command)
    }
}

fn word(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "ro",
        Access::ReadWrite => "rw",
    }
}

fn access(word: &str) -> Result<Access, String> {
    match word {
        "ro" => Ok(Access::ReadOnly),
        "rw" => Ok(Access::ReadWrite),
        _ => Err(format!("not an access: {word:?}")),
    }
}

/// Reads a number of any kind.
pub fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: {text:?}"))
}

/// Writes grant references as ranges, since a xenstore value is short and references are mostly
/// handed out in order, or in the opposite one when they were used before: `8-519,522,521-100`.
pub fn ranges(references: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for reference in references {
        match ranges.last_mut() {
            Some((first, last)) if continues(*first, *last, *reference) => *last = *reference,
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

/// Returns `true` if `next` follows `last` in the direction of the range from `first`.
fn continues(first: u32, last: u32, next: u32) -> bool {
    let up = last.checked_add(1) == Some(next);
    let down = last.checked_sub(1) == Some(next);
    (up && first <= last) || (down && first >= last)
}

/// Reads what [`ranges`] wrote.
pub fn references(text: &str) -> Result<Vec<u32>, String> {
    let mut references = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number::<u32>(first)?, number::<u32>(last)?);
        if first <= last {
            references.extend(first..=last);
        } else {
            references.extend((last..=first).rev());
        }
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
            Command::ShareFile(64),
            Command::Map(vec![8, 9, 10, 700], Access::ReadWrite),
            Command::Map(vec![3], Access::ReadOnly),
            Command::Export(vec![8, 9, 700], 2),
            Command::MapOwn,
            Command::FreeMemory,
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
            "map 1",
            "map 1 wo",
            "map 1- rw",
            "share-file",
            "export 1",
            "export 1 rw",
        ] {
            assert!(text.parse::<Command>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn references_survive_as_ranges() {
        assert_eq!(ranges(&[8, 9, 10, 12, 11]), "8-10,12-11");
        assert_eq!(ranges(&[8, 9, 8, 7, 7]), "8-9,8-7,7");
        assert_eq!(ranges(&[0, u32::MAX, 0]), format!("0,{},0", u32::MAX));
        for list in [
            vec![5],
            vec![8, 9, 10, 12, 11],
            vec![8, 9, 8, 7, 7],
            (100..900).collect(),
            (100..900).rev().collect(),
        ] {
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
