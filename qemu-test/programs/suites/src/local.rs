// SPDX-License-Identifier: GPL-2.0

//! A granter in this very process.

use std::collections::BTreeMap;
use std::io;

use xen_guest::gntdev::GrantRef;
use xen_guest::grant_share::Access;
use xen_guest::grant_share::GrantShare;
use xen_guest::grant_share::SharedPages;

use crate::granter::Granter;
use crate::granter::Share;

/// Grants this domain's pages to one other domain, or to itself.
pub struct LocalGranter {
    allocator: GrantShare,
    domid: u32,
    mapper: u32,
    shares: BTreeMap<usize, SharedPages>,
    next_id: usize,
}

impl LocalGranter {
    /// Domain `domid`, which this program runs in, grants to domain `mapper`.
    pub fn new(domid: u32, mapper: u32) -> io::Result<Self> {
        Ok(Self {
            allocator: GrantShare::open()?,
            domid,
            mapper,
            shares: BTreeMap::new(),
            next_id: 0,
        })
    }

    /// The pages of the share with number `id`.
    pub fn pages(&self, id: usize) -> io::Result<&SharedPages> {
        self.shares.get(&id).ok_or_else(|| no_share(id))
    }

    /// Ends the share with number `id`.
    pub fn end(&mut self, id: usize) -> io::Result<()> {
        self.shares
            .remove(&id)
            .map(drop)
            .ok_or_else(|| no_share(id))
    }

    /// Ends all shares.
    pub fn end_all(&mut self) {
        self.shares.clear();
    }
}

fn no_share(id: usize) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no share {id}"))
}

impl Granter for LocalGranter {
    fn domid(&self) -> u32 {
        self.domid
    }

    fn share(&mut self, pages: usize, access: Access) -> io::Result<Share> {
        let shared = self.allocator.share(self.mapper, pages, access)?;
        let grants = shared
            .references()
            .iter()
            .map(|reference| GrantRef {
                domid: self.domid,
                reference: *reference,
            })
            .collect();
        let id = self.next_id;
        self.next_id += 1;
        self.shares.insert(id, shared);
        Ok(Share { id, grants })
    }

    fn fill(&mut self, share: &Share, seed: u32) -> io::Result<()> {
        self.pages(share.id)?.fill(seed);
        Ok(())
    }

    fn first_difference(&mut self, share: &Share, seed: u32) -> io::Result<Option<usize>> {
        Ok(self.pages(share.id)?.first_difference(seed))
    }

    fn read(&mut self, share: &Share, at: usize) -> io::Result<u8> {
        Ok(self.pages(share.id)?.read(at))
    }

    fn write(&mut self, share: &Share, at: usize, value: u8) -> io::Result<()> {
        self.pages(share.id)?.write(at, value);
        Ok(())
    }

    fn unshare(&mut self, share: Share) -> io::Result<()> {
        self.end(share.id)
    }
}
