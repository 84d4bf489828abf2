// SPDX-License-Identifier: GPL-2.0

//! Grants in use, as the hypervisor lists them on its console.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use xen_grants::GrantRef;

use crate::console_ring::ConsoleRing;

/// Pin count of every grant that some domain has mapped or is copying. Xen counts readers and
/// writers in one number, the pin count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantUsage {
    pins: BTreeMap<(u32, u32), u64>,
    frames: BTreeMap<u32, TableFrames>,
}

/// Pages of the tables that Xen keeps for a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFrames {
    /// Pages of the table of the domain's grants.
    pub grant: u32,
    /// Pages of the table of the grants that the domain has mapped.
    pub maptrack: u32,
}

const BEGIN: &str = "gnttab_usage_print_all [ key 'g' pressed";
const END: &str = "gnttab_usage_print_all ] done";
const TABLE_OF: &str = "grant-table for remote d";

impl GrantUsage {
    /// Reads the list of the hypervisor. Only dom0 may.
    pub fn read() -> io::Result<Self> {
        let answer = ConsoleRing::open()?.press(c"g")?;
        Self::parse(&answer).map_err(io::Error::other)
    }

    /// Parses the output of debug key `g`.
    pub fn parse(console: &str) -> Result<Self, String> {
        let begin = console
            .rfind(BEGIN)
            .ok_or("Xen's console has no beginning of the grant table: is its ring too small?")?;
        let text = &console[begin..];
        let end = text
            .find(END)
            .ok_or("Xen's console has no end of the grant table")?;

        let mut usage = Self::default();
        let mut granter = None;
        for line in text[..end].lines().skip(1) {
            let line = line.trim_start_matches("(XEN)").trim();
            let line = without_time(line);
            if let Some(rest) = line.strip_prefix(TABLE_OF) {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                let domid = digits.and_then(|digits| digits.parse().ok());
                granter = Some(domid.ok_or_else(|| format!("no domain in {line:?}"))?);
            } else if let (Some(domid), Some(frames)) = (granter, table_frames(line)) {
                usage.frames.insert(domid, frames);
            } else if line.starts_with("[0x") {
                let granter = granter.ok_or_else(|| format!("no domain before {line:?}"))?;
                let (reference, pin) =
                    entry(line).ok_or_else(|| format!("not a grant table entry: {line:?}"))?;
                usage.pins.insert((granter, reference), pin);
            }
        }
        if granter.is_none() {
            return Err("Xen printed no domain's grant table".into());
        }
        Ok(usage)
    }

    /// Returns the pin count of `grant`, or 0.
    pub fn pin(&self, grant: GrantRef) -> u64 {
        let key = (grant.domid, grant.reference);
        self.pins.get(&key).copied().unwrap_or(0)
    }

    /// Returns the number of `grants` that are in use.
    pub fn count(&self, grants: &[GrantRef]) -> usize {
        grants.iter().filter(|grant| self.pin(**grant) != 0).count()
    }

    /// Returns the number of grants of domain `domid` that are in use.
    pub fn count_of_domain(&self, domid: u32) -> usize {
        self.pins
            .keys()
            .filter(|(owner, _)| *owner == domid)
            .count()
    }

    /// Returns the domains, and the pages of their tables.
    pub fn frames(&self) -> impl Iterator<Item = (u32, TableFrames)> + '_ {
        self.frames.iter().map(|(domid, frames)| (*domid, *frames))
    }

    /// Returns the grants in use that `before` lacks or has with another pin count.
    pub fn beyond(&self, before: &Self) -> Self {
        let mut beyond = self.clone();
        beyond
            .pins
            .retain(|key, pin| before.pins.get(key) != Some(pin));
        beyond
    }

    /// Returns true if no grant is in use.
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }
}

impl fmt::Display for GrantUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        write!(f, "{} grants", self.pins.len())?;
        for ((domid, reference), pin) in self.pins.iter().take(SHOWN) {
            write!(f, ", d{domid} reference {reference} (pin {pin:#x})")?;
        }
        if self.pins.len() > SHOWN {
            write!(f, ", ...")?;
        }
        Ok(())
    }
}

/// Removes the time that Xen may print before each line: `[2026-01-31 12:00:00]`. A table entry
/// begins with a bracket, too, but with a hexadecimal number in it.
fn without_time(line: &str) -> &str {
    match line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        Some((time, rest)) if !time.starts_with("0x") => rest.trim_start(),
        _ => line,
    }
}

/// Returns the numbers of pages in a line such as `1 frames (64 max), 0 maptrack frames (1024
/// max)`.
fn table_frames(line: &str) -> Option<TableFrames> {
    let (grant, rest) = line.split_once(" frames (")?;
    let (_, maptrack) = rest.split_once("), ")?;
    let (maptrack, _) = maptrack.split_once(" maptrack frames (")?;
    Some(TableFrames {
        grant: grant.trim().parse().ok()?,
        maptrack: maptrack.parse().ok()?,
    })
}

/// Returns the reference and the pin count of a line such as `[0x008]      0 0x12345 0x00000001
/// 0 0x012345 0x19`.
fn entry(line: &str) -> Option<(u32, u64)> {
    let (reference, rest) = line.strip_prefix('[')?.split_once(']')?;
    let pin = rest.split_whitespace().nth(2)?;
    Some((hexadecimal(reference)?.try_into().ok()?, hexadecimal(pin)?))
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "\
(XEN) something else
(XEN) gnttab_usage_print_all [ key 'g' pressed
(XEN)       -------- active --------       -------- shared --------
(XEN) [ref] localdom mfn      pin          localdom gmfn     flags
(XEN) grant-table for remote d0 (v1)
(XEN)   1 frames (64 max), 0 maptrack frames (1024 max)
(XEN) no active grant table entries
(XEN)       -------- active --------       -------- shared --------
(XEN) [ref] localdom mfn      pin          localdom gmfn     flags
(XEN) grant-table for remote d12 (v1)
(XEN)   1 frames (64 max), 0 maptrack frames (1024 max)
(XEN) [0x000]      0 0xbf000 0x00000002          0 0x00feff 0x19
(XEN) [0x01f]      0 0xbf001 0x00010001          0 0x00fefe 0x19
(XEN) gnttab_usage_print_all ] done
";

    fn grant(domid: u32, reference: u32) -> GrantRef {
        GrantRef { domid, reference }
    }

    #[test]
    fn entries_belong_to_the_domain_above_them() {
        let usage = GrantUsage::parse(CONSOLE).unwrap();

        assert_eq!(usage.pin(grant(12, 0)), 2);
        assert_eq!(usage.pin(grant(12, 0x1f)), 0x10001);
        assert_eq!(usage.pin(grant(0, 0)), 0);
        assert_eq!(usage.count(&[grant(12, 0), grant(12, 1)]), 1);
        assert_eq!(usage.count_of_domain(12), 2);
        assert_eq!(usage.count_of_domain(0), 0);
    }

    #[test]
    fn frames_belong_to_the_domain_above_them() {
        let console = CONSOLE.replacen("0 maptrack", "7 maptrack", 1);
        let usage = GrantUsage::parse(&console).unwrap();
        let frames = |maptrack| TableFrames { grant: 1, maptrack };
        let expected = [(0, frames(7)), (12, frames(0))];
        assert!(usage.frames().eq(expected), "{usage:?}");
    }

    #[test]
    fn a_time_before_each_line_is_no_entry() {
        let timed = CONSOLE.replace("(XEN) ", "(XEN) [2026-01-31 12:00:00] ");
        assert_eq!(GrantUsage::parse(&timed), GrantUsage::parse(CONSOLE));
    }

    #[test]
    fn an_answer_without_beginning_or_end_is_refused() {
        let end = CONSOLE.find(END).unwrap();
        let begin = CONSOLE.find(TABLE_OF).unwrap();

        assert!(GrantUsage::parse(&CONSOLE[..end]).is_err());
        assert!(GrantUsage::parse(&CONSOLE[begin..]).is_err());
    }

    #[test]
    fn a_damaged_entry_is_refused() {
        let damaged = CONSOLE.replace("0x00010001", "garbage");
        assert!(GrantUsage::parse(&damaged).is_err());
    }

    #[test]
    fn new_and_changed_entries_are_beyond() {
        let before = GrantUsage::parse(CONSOLE).unwrap();
        let now = CONSOLE.replace("0x00010001", "0x00000001");
        let now = GrantUsage::parse(&now).unwrap();

        assert!(before.beyond(&before).is_empty());
        let beyond = now.beyond(&before);
        assert_eq!(beyond.pin(grant(12, 0x1f)), 1);
        assert_eq!(beyond.pin(grant(12, 0)), 0);
    }
}
