// SPDX-License-Identifier: GPL-2.0

//! How two domains meet: the granter offers its grant references in its own
//! part of xenstore, and both leave each other words there.

use std::io;
use std::time::Duration;

use crate::xenstore::Xenstore;

/// How many references a node takes: xenstored allows a domU two kilobytes in
/// each, and a reference can have ten digits.
const REFERENCES_PER_NODE: usize = 128;

/// The largest offer that is taken: a gigabyte, in pages.
const MOST_PAGES: usize = 1 << 18;

/// The last node that the granter writes: all others are there.
const OFFERED: &str = "pages";
/// The other side has let go of all pages.
const DONE: &str = "done";
/// The grants have ended.
const RELEASED: &str = "released";

/// One side of the meeting.
pub struct Handover {
    store: Xenstore,
    folder: String,
}

impl Handover {
    /// The granter's side. What an earlier run left behind is removed.
    pub fn of_granter(name: &str) -> io::Result<Self> {
        let this = Self {
            store: Xenstore::open()?,
            folder: format!("data/{name}"),
        };
        this.store.remove(&this.folder)?;
        Ok(this)
    }

    /// The other side, with domain `domid` as granter.
    pub fn with_granter(name: &str, domid: u32) -> io::Result<Self> {
        Ok(Self {
            store: Xenstore::open()?,
            folder: format!("/local/domain/{domid}/data/{name}"),
        })
    }

    /// This domain's own id.
    pub fn own_domid(&self) -> io::Result<u32> {
        number("this domain's id", self.store.read("domid")?)
    }

    /// Offers grant references. Words that belong to them must be there
    /// already.
    pub fn offer(&self, references: &[u32]) -> io::Result<()> {
        for (index, text) in texts(references).iter().enumerate() {
            self.tell(&format!("references/{index}"), text)?;
        }
        self.tell(OFFERED, &references.len().to_string())
    }

    /// Waits for an offer of at most so much time.
    pub fn take_offer(&self, limit: Duration) -> io::Result<Vec<u32>> {
        let pages: usize = number(OFFERED, Some(self.wait_for(OFFERED, limit)?))?;
        if pages > MOST_PAGES {
            return Err(invalid(OFFERED));
        }
        let mut references = Vec::with_capacity(pages);
        for index in 0..pages.div_ceil(REFERENCES_PER_NODE) {
            let name = format!("references/{index}");
            let text = self.wait_for(&name, Duration::ZERO)?;
            references.extend(parse(&text).ok_or_else(|| invalid(&name))?);
        }
        if references.len() != pages {
            return Err(invalid("references"));
        }
        Ok(references)
    }

    /// The granter's end: waits until the other side has let go of all pages.
    pub fn wait_until_done(&self, limit: Duration) -> io::Result<()> {
        self.wait_for(DONE, limit).map(|_| ())
    }

    /// The granter's last word.
    pub fn tell_released(&self) -> io::Result<()> {
        self.tell(RELEASED, "1")
    }

    /// The other side's end, when it has let go of all pages: waits until the
    /// grants have ended and leaves nothing behind.
    pub fn finish(&self, limit: Duration) -> io::Result<()> {
        self.tell(DONE, "1")?;
        self.wait_for(RELEASED, limit)?;
        self.store.remove(&self.folder)
    }

    /// Leaves a word for the other side.
    pub fn tell(&self, name: &str, value: &str) -> io::Result<()> {
        self.store.write(&format!("{}/{name}", self.folder), value)
    }

    /// Waits for a word from the other side.
    pub fn wait_for(&self, name: &str, limit: Duration) -> io::Result<String> {
        let path = format!("{}/{name}", self.folder);
        self.store.wait_for(&path, limit)
    }

    /// A number that came with the offer.
    pub fn offered_number(&self, name: &str) -> io::Result<u32> {
        number(name, Some(self.wait_for(name, Duration::ZERO)?))
    }
}

fn texts(references: &[u32]) -> Vec<String> {
    references
        .chunks(REFERENCES_PER_NODE)
        .map(|chunk| {
            let words: Vec<String> = chunk.iter().map(u32::to_string).collect();
            words.join(" ")
        })
        .collect()
}

fn parse(text: &str) -> Option<Vec<u32>> {
    text.split(' ').map(|word| word.parse().ok()).collect()
}

fn number<T: std::str::FromStr>(name: &str, text: Option<String>) -> io::Result<T> {
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| invalid(name))
}

fn invalid(name: &str) -> io::Error {
    let message = format!("{name} in xenstore is not what it should be");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_come_back_as_they_were() {
        let references: Vec<u32> = (0..300).map(|index| u32::MAX - index).collect();
        let texts = texts(&references);
        assert_eq!(texts.len(), 3);
        let back: Vec<u32> = texts.iter().flat_map(|text| parse(text).unwrap()).collect();
        assert_eq!(back, references);
    }

    #[test]
    fn the_longest_text_is_within_xenstored_s_limit() {
        let longest = texts(&[u32::MAX; REFERENCES_PER_NODE]).remove(0);
        assert!(longest.len() < 2000);
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "1 x", "1  2", "-1", "4294967296"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
