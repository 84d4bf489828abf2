// SPDX-License-Identifier: GPL-2.0

//! The domain that grants the pages that a case maps.

use std::io;

pub use xen_grants::grant_share::Access;
use xen_grants::GrantRef;

/// Number that no domain has; those above it have a special meaning.
pub const ABSENT_DOMAIN: u32 = 0x7fef;

/// Grant reference that grants nothing: no domain's table is as long.
pub const BEYOND_TABLE: u32 = 0x00ff_fff0;

/// Hands out granted pages and looks at them from the owner's side. Maps what dom0 grants, too.
pub trait Granter {
    /// The domain whose pages these are.
    fn domid(&self) -> u32;

    /// Grants `pages` fresh pages.
    fn share(&mut self, pages: usize, access: Access) -> io::Result<Share>;

    /// Grants `pages` pages of a file in memory, which the granter makes a dma-buf of and has its
    /// own grant device import.
    fn share_file(&mut self, pages: usize) -> io::Result<Share>;

    /// Maps pages that dom0 granted to this domain, for all that can be done with a share; its
    /// grants are dom0's.
    fn map(&mut self, references: &[u32], access: Access) -> io::Result<Share>;

    /// Makes a dma-buf of pages that dom0 granted to this domain, with flags that say which kind of
    /// memory is behind it, and maps that, as [`Self::map`].
    fn export(&mut self, references: &[u32], flags: u32) -> io::Result<Share>;

    /// Tries to map what the granter's domain granted to itself, in all ways that there are.
    /// Returns the error numbers, each once; 0 stands for success.
    fn map_own(&mut self) -> io::Result<Vec<i32>>;

    /// Free memory of the granter's domain, in kB.
    fn free_memory(&mut self) -> io::Result<u64>;

    /// Writes the pattern that `seed` names over all pages of `share`.
    fn fill(&mut self, share: &Share, seed: u32) -> io::Result<()>;

    /// The first byte of `share` that is not of the pattern that `seed` names.
    fn first_difference(&mut self, share: &Share, seed: u32) -> io::Result<Option<usize>>;

    /// The byte at offset `at` of `share`.
    fn read(&mut self, share: &Share, at: usize) -> io::Result<u8>;

    /// Sets the byte at offset `at` of `share`.
    fn write(&mut self, share: &Share, at: usize, value: u8) -> io::Result<()>;

    /// Ends the grants of `share`. A page that is still mapped stays the mapper's until that ends
    /// too. Mappings that the granter made are unmapped.
    fn unshare(&mut self, share: Share) -> io::Result<()>;
}

/// Pages that a granter handed out or mapped.
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

/// Grants of one domain.
pub fn grants_of(domid: u32, references: &[u32]) -> Vec<GrantRef> {
    references
        .iter()
        .map(|reference| GrantRef {
            domid,
            reference: *reference,
        })
        .collect()
}
