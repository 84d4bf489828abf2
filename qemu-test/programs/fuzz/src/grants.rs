// SPDX-License-Identifier: GPL-2.0

//! Model of the granted pages and their contents.

use std::collections::BTreeMap;

use guest_test::pattern::pattern;
use suites::granter::ABSENT_DOMAIN;
use suites::granter::BEYOND_TABLE;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::argument::Grant;
use crate::operation::SHARES;

/// Number of a page of the model.
pub type PageId = usize;

/// Answer of Xen to an access by a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// The page is accessed.
    Granted(PageId),
    /// The grant has ended for its owner. Depending on its use it exists for some time.
    Ending(PageId),
    /// The access is refused.
    Refused,
}

/// Entry of a domain's grant table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    page: PageId,
    writable: bool,
    /// True if the grant has been mapped, so that its end may be put off.
    used: bool,
    /// True if the owner has ended it.
    ended: bool,
}

/// Pages that were granted together.
#[derive(Clone, Debug)]
struct Share {
    grants: Vec<GrantRef>,
    pages: Vec<PageId>,
    ended: bool,
}

/// Granted pages of all domains.
#[derive(Debug)]
pub struct Grants {
    /// Domain of references that are not those of a share.
    domid: u32,
    contents: Vec<Vec<u8>>,
    /// Domain that each page belongs to.
    owners: Vec<u32>,
    entries: BTreeMap<(u32, u32), Entry>,
    shares: [Option<Share>; SHARES],
}

impl Grants {
    /// No grants. A reference that is none of a share belongs to domain `domid`.
    pub fn new(domid: u32) -> Self {
        Self {
            domid,
            contents: Vec::new(),
            owners: Vec::new(),
            entries: BTreeMap::new(),
            shares: [const { None }; SHARES],
        }
    }

    /// Adds a share in slot `slot`, which has the pattern of `seed`.
    pub fn share(&mut self, slot: usize, grants: &[GrantRef], writable: bool, seed: u32) {
        let first = self.contents.len();
        for (index, grant) in grants.iter().enumerate() {
            let start = index * PAGE_SIZE;
            let bytes = (start..start + PAGE_SIZE).map(|at| pattern(seed, at));
            self.contents.push(bytes.collect());
            self.owners.push(grant.domid);
            let entry = Entry {
                page: first + index,
                writable,
                used: false,
                ended: false,
            };
            self.entries.insert((grant.domid, grant.reference), entry);
        }
        self.shares[slot] = Some(Share {
            grants: grants.to_vec(),
            pages: (first..self.contents.len()).collect(),
            ended: false,
        });
    }

    /// Ends the share in slot `slot`. Returns false if there is none.
    pub fn unshare(&mut self, slot: usize) -> bool {
        let Some(share) = self.shares[slot].as_mut().filter(|share| !share.ended) else {
            return false;
        };
        share.ended = true;
        for grant in &share.grants {
            let key = (grant.domid, grant.reference);
            match self.entries.get_mut(&key) {
                Some(entry) if entry.used => entry.ended = true,
                _ => drop(self.entries.remove(&key)),
            }
        }
        true
    }

    /// Returns the page and the offset in it of byte `at` of the share in slot `slot`, whose grants
    /// have not ended; `at` is taken modulo the length.
    pub fn byte_of_share(&self, slot: usize, at: usize) -> Option<(PageId, usize)> {
        let share = self.shares[slot].as_ref().filter(|share| !share.ended)?;
        let at = at % (share.pages.len() * PAGE_SIZE);
        Some((share.pages[at / PAGE_SIZE], at % PAGE_SIZE))
    }

    /// Returns the grants of the share in slot `slot`, also if they have ended.
    pub fn of_share(&self, slot: usize) -> Option<&[GrantRef]> {
        Some(&self.shares[slot].as_ref()?.grants)
    }

    /// Returns the domain and the reference that `grant` stands for.
    pub fn resolve(&self, grant: Grant) -> GrantRef {
        let beyond = GrantRef {
            domid: self.domid,
            reference: BEYOND_TABLE,
        };
        let of_share = |share, page| match self.of_share(share) {
            Some(grants) => grants[page % grants.len()],
            None => beyond,
        };
        match grant {
            Grant::Of { share, page } => of_share(share, page),
            Grant::WideDomain { share } => {
                let GrantRef { domid, reference } = of_share(share, 0);
                GrantRef {
                    domid: domid + (1 << 16),
                    reference,
                }
            }
            Grant::BeyondTable => beyond,
            Grant::AbsentDomain => GrantRef {
                domid: ABSENT_DOMAIN,
                reference: 1,
            },
        }
    }

    /// Returns the answer of Xen to an access by `grant`.
    pub fn permission(&self, grant: GrantRef, writing: bool) -> Permission {
        match self.entries.get(&(grant.domid, grant.reference)) {
            Some(entry) if writing && !entry.writable => Permission::Refused,
            Some(entry) if entry.ended => Permission::Ending(entry.page),
            Some(entry) => Permission::Granted(entry.page),
            None => Permission::Refused,
        }
    }

    /// Returns the domain that all of `pages` belong to, if it is one.
    pub fn owner(&self, pages: &[PageId]) -> Option<u32> {
        let owner = self.owners[*pages.first()?];
        let is_one = pages.iter().all(|page| self.owners[*page] == owner);
        is_one.then_some(owner)
    }

    /// Notes that `grant` has been mapped.
    pub fn set_used(&mut self, grant: GrantRef) {
        if let Some(entry) = self.entries.get_mut(&(grant.domid, grant.reference)) {
            entry.used = true;
        }
    }

    /// Notes that all grants of domain `domid` may be in use.
    pub fn set_all_used(&mut self, domid: u32) {
        for ((owner, _), entry) in &mut self.entries {
            entry.used |= *owner == domid;
        }
    }

    /// Returns the contents of `pages`, one after the other.
    pub fn bytes(&self, pages: &[PageId]) -> Vec<u8> {
        pages
            .iter()
            .flat_map(|page| self.contents[*page].iter().copied())
            .collect()
    }

    /// Returns `length` bytes from offset `at` of `pages`.
    pub fn read(&self, pages: &[PageId], at: usize, length: usize) -> Vec<u8> {
        (at..at + length)
            .map(|at| self.contents[pages[at / PAGE_SIZE]][at % PAGE_SIZE])
            .collect()
    }

    /// Writes `bytes` from offset `at` of `pages` on.
    pub fn write(&mut self, pages: &[PageId], at: usize, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            self.contents[pages[at / PAGE_SIZE]][at % PAGE_SIZE] = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(reference: u32) -> GrantRef {
        GrantRef {
            domid: 3,
            reference,
        }
    }

    #[test]
    fn a_share_grants_its_pages_until_it_ends() {
        let mut grants = Grants::new(3);
        grants.share(0, &[grant(8), grant(9)], false, 5);
        assert_eq!(grants.permission(grant(9), false), Permission::Granted(1));
        assert_eq!(grants.permission(grant(9), true), Permission::Refused);
        assert_eq!(grants.permission(grant(7), false), Permission::Refused);

        grants.set_used(grant(9));
        assert!(grants.unshare(0));
        assert_eq!(grants.permission(grant(8), false), Permission::Refused);
        assert_eq!(grants.permission(grant(9), false), Permission::Ending(1));
        assert!(!grants.unshare(0));
    }

    #[test]
    fn a_reference_is_used_again() {
        let mut grants = Grants::new(3);
        grants.share(0, &[grant(8)], true, 5);
        grants.unshare(0);
        grants.share(1, &[grant(8)], true, 6);
        assert_eq!(grants.permission(grant(8), true), Permission::Granted(1));
        let stale = grants.resolve(Grant::Of { share: 0, page: 3 });
        assert_eq!(stale, grant(8));
    }

    #[test]
    fn pages_have_one_owner_or_several() {
        let mut grants = Grants::new(3);
        let other = GrantRef {
            domid: 0,
            reference: 8,
        };
        grants.share(0, &[grant(8), grant(9)], true, 5);
        grants.share(1, &[other], true, 5);
        assert_eq!(grants.owner(&[0, 1]), Some(3));
        assert_eq!(grants.owner(&[2]), Some(0));
        assert_eq!(grants.owner(&[1, 2]), None);
    }

    #[test]
    fn bytes_are_written_across_pages() {
        let mut grants = Grants::new(3);
        grants.share(0, &[grant(8), grant(9)], true, 5);
        grants.write(&[1, 0], PAGE_SIZE - 1, &[1, 2]);
        assert_eq!(grants.read(&[1], PAGE_SIZE - 1, 1), [1]);
        assert_eq!(grants.read(&[0], 0, 2), [2, pattern(5, 1)]);
        assert_eq!(grants.byte_of_share(0, 3 * PAGE_SIZE + 7), Some((1, 7)));
    }
}
