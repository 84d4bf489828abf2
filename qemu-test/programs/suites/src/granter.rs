// SPDX-License-Identifier: GPL-2.0

//! The other side: whoever grants the pages that a case maps.

use std::io;

use xen_guest::gntdev::GrantRef;
pub use xen_guest::grant_share::Access;

/// Hands out granted pages and looks at them from the owner's side.
pub trait Granter {
    /// The domain whose pages these are.
    fn domid(&self) -> u32;

    /// Grants `pages` fresh pages.
    fn share(&mut self, pages: usize, access: Access) -> io::Result<Share>;

    /// Writes the pattern that `seed` names over all pages of `share`.
    fn fill(&mut self, share: &Share, seed: u32) -> io::Result<()>;

    /// The first byte of `share` that is not of the pattern that `seed` names.
    fn first_difference(&mut self, share: &Share, seed: u32) -> io::Result<Option<usize>>;

    /// The byte at offset `at` of `share`.
    fn read(&mut self, share: &Share, at: usize) -> io::Result<u8>;

    /// Sets the byte at offset `at` of `share`.
    fn write(&mut self, share: &Share, at: usize, value: u8) -> io::Result<()>;

    /// Ends the grants of `share`. A page that is still mapped stays the
    /// mapper's until that ends too.
    fn unshare(&mut self, share: Share) -> io::Result<()>;
}

/// Pages that a granter handed out.
#[derive(Debug)]
pub struct Share {
    /// The granter's own number of it.
    pub id: usize,
    /// One grant for each page.
    pub grants: Vec<GrantRef>,
}

impl Share {
    /// The grant references alone.
    pub fn references(&self) -> Vec<u32> {
        self.grants.iter().map(|grant| grant.reference).collect()
    }

    /// Number of pages.
    pub fn pages(&self) -> usize {
        self.grants.len()
    }
}
