// SPDX-License-Identifier: GPL-2.0

//! Grant references passed from one domain to another through xenstore.
//!
//! The granter offers them in its own part of xenstore, below `data/NAME`, and both sides leave
//! values for each other there. This suits programs made for each other; a back end for a protocol
//! of Xen such as displif finds references at the place that the protocol defines.

use std::str::FromStr;
use std::time::Duration;

use crate::error::Error;
use crate::error::Result;
use crate::xenstore::Xenstore;

/// Most references in one node: xenstored allows a domU two kilobytes in each, and a reference may
/// have ten digits.
const REFERENCES_PER_NODE: usize = 128;

/// The largest offer that is taken: a gigabyte, in pages.
const MOST_PAGES: usize = 1 << 18;

/// Node that the granter writes last, after all others.
const OFFERED: &str = "pages";
/// Node that the other side writes when it no longer uses the pages.
const DONE: &str = "done";
/// Node that the granter writes when the grants have ended.
const RELEASED: &str = "released";

/// One side of a handover.
///
/// # Examples
///
/// The granter:
///
/// ```no_run
/// use std::time::Duration;
/// use xen_grants::grant_share::{Access, GrantShare};
/// use xen_grants::handover::Handover;
/// use xen_grants::DOM0;
///
/// const PATIENCE: Duration = Duration::from_secs(60);
///
/// let handover = Handover::of_granter("my-pages")?;
/// let pages = GrantShare::open()?.share(DOM0, 4, Access::ReadOnly)?;
/// handover.tell("format", "text")?;
/// handover.offer(pages.references())?;
/// handover.wait_until_done(PATIENCE)?;
/// drop(pages);
/// handover.tell_released()?;
/// # Ok::<(), xen_grants::Error>(())
/// ```
///
/// The other side:
///
/// ```no_run
/// # use std::time::Duration;
/// # use xen_grants::grant_table::GrantTable;
/// # use xen_grants::handover::Handover;
/// # use xen_grants::mapping::Protection;
/// # const PATIENCE: Duration = Duration::from_secs(60);
/// let handover = Handover::with_granter("my-pages", 3)?;
/// let references = handover.take_offer(PATIENCE)?;
/// let format: String = handover.told("format")?;
/// let table = GrantTable::open()?;
/// let pages = table.map_domain(3, &references, Protection::Read)?;
/// println!("{:?}", pages.read_vec(0, 80));
/// drop(pages);
/// handover.finish(PATIENCE)?;
/// # Ok::<(), xen_grants::Error>(())
/// ```
#[derive(Debug)]
pub struct Handover {
    store: Xenstore,
    folder: String,
}

impl Handover {
    /// The granter's side. Nodes that an earlier run has left are removed.
    ///
    /// # Errors
    ///
    /// Those of [`Xenstore`].
    pub fn of_granter(name: &str) -> Result<Self> {
        let this = Self {
            store: Xenstore::open()?,
            folder: format!("data/{name}"),
        };
        this.store.remove(&this.folder)?;
        Ok(this)
    }

    /// The other side, of the granter in domain `domid`.
    ///
    /// # Errors
    ///
    /// Those of [`Xenstore::open`].
    pub fn with_granter(name: &str, domid: u32) -> Result<Self> {
        Ok(Self {
            store: Xenstore::open()?,
            folder: format!("/local/domain/{domid}/data/{name}"),
        })
    }

    /// Domain id of this domain.
    ///
    /// # Errors
    ///
    /// Those of [`Xenstore::read`].
    pub fn own_domid(&self) -> Result<u32> {
        parse("domid", self.store.read("domid")?)
    }

    /// Offers grant references. Values that belong to them must be there already.
    ///
    /// # Errors
    ///
    /// Those of [`Xenstore::write`].
    pub fn offer(&self, references: &[u32]) -> Result<()> {
        for (index, text) in texts(references).iter().enumerate() {
            self.tell(&format!("references/{index}"), text)?;
        }
        self.tell(OFFERED, &references.len().to_string())
    }

    /// Waits for an offer, at most for `limit`, and returns the references.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]; [`Error::Malformed`] if the offer is none, or of more than a gigabyte.
    pub fn take_offer(&self, limit: Duration) -> Result<Vec<u32>> {
        self.wait_for(OFFERED, limit)?;
        let pages = self.told(OFFERED)?;
        if pages > MOST_PAGES {
            return Err(self.malformed(OFFERED));
        }
        let mut references = Vec::with_capacity(pages);
        for index in 0..pages.div_ceil(REFERENCES_PER_NODE) {
            let name = format!("references/{index}");
            let text: String = self.told(&name)?;
            references.extend(numbers(&text).ok_or_else(|| self.malformed(&name))?);
        }
        if references.len() != pages {
            return Err(self.malformed(OFFERED));
        }
        Ok(references)
    }

    /// For the granter: waits until the other side uses no page any more, at most for `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`].
    pub fn wait_until_done(&self, limit: Duration) -> Result<()> {
        self.wait_for(DONE, limit).map(drop)
    }

    /// For the granter: tells the other side that the grants have ended.
    ///
    /// # Errors
    ///
    /// Those of [`Xenstore::write`].
    pub fn tell_released(&self) -> Result<()> {
        self.tell(RELEASED, "1")
    }

    /// For the other side, when it uses no page any more: waits until the grants have ended, at
    /// most for `limit`, and removes all nodes.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`].
    pub fn finish(&self, limit: Duration) -> Result<()> {
        self.tell(DONE, "1")?;
        self.wait_for(RELEASED, limit)?;
        self.store.remove(&self.folder)
    }

    /// Leaves a value for the other side.
    ///
    /// # Errors
    ///
    /// Those of [`Xenstore::write`].
    pub fn tell(&self, name: &str, value: &str) -> Result<()> {
        self.store.write(&self.path(name), value)
    }

    /// Waits for a value of the other side, at most for `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`].
    pub fn wait_for(&self, name: &str, limit: Duration) -> Result<String> {
        let path = self.path(name);
        self.store
            .wait_for(&path, limit, |text| Some(text.to_string()))
    }

    /// A value that the other side has left.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if there is none, or it is not a `T`.
    pub fn told<T: FromStr>(&self, name: &str) -> Result<T> {
        let path = self.path(name);
        parse(&path, self.store.read(&path)?)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn malformed(&self, name: &str) -> Error {
        Error::Malformed {
            path: self.path(name),
        }
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

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split(' ').map(|word| word.parse().ok()).collect()
}

fn parse<T: FromStr>(path: &str, text: Option<String>) -> Result<T> {
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::Malformed { path: path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_come_back_as_they_were() {
        let references: Vec<u32> = (0..300).map(|index| u32::MAX - index).collect();
        let texts = texts(&references);
        assert_eq!(texts.len(), 3);
        let back: Vec<u32> = texts
            .iter()
            .flat_map(|text| numbers(text).unwrap())
            .collect();
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
            assert_eq!(numbers(text), None, "{text}");
        }
    }
}
