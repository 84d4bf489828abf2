// SPDX-License-Identifier: GPL-2.0

//! Environment of a case: the granter, the driver and the memory model.

use std::io;

use guest_test::counters::Counters;
use guest_test::gntdev::Gntdev;
use guest_test::grant_usage::GrantUsage;
use guest_test::platform::Driver;
use guest_test::platform::MemoryModel;
use guest_test::totals;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::DOM0;

use crate::granter::Access;
use crate::granter::Granter;
use crate::granter::Share;
use crate::local::LocalGranter;
use crate::remote::RemoteGranter;
use crate::wait::settle;
use crate::wait::PATIENCE;

/// Owner of the grants that a suite maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Dom0's own.
    Own,
    /// Those of a domU.
    Domu(u32),
}

/// Environment of a case: the granter, the driver and the memory model.
pub struct World {
    /// Owner of the grants.
    pub source: Source,
    /// Hands out grants.
    pub granter: Box<dyn Granter>,
    /// Memory model of this domain.
    pub model: MemoryModel,
    /// The driver that is tested.
    pub driver: Driver,
}

impl World {
    /// Creates the environment of a new case and ends the shares of the case before it.
    pub fn new(source: Source) -> io::Result<Self> {
        let granter: Box<dyn Granter> = match source {
            Source::Own => Box::new(LocalGranter::new(DOM0, DOM0)?),
            Source::Domu(domid) => Box::new(RemoteGranter::connect(domid)?),
        };
        Ok(Self {
            source,
            granter,
            model: MemoryModel::current()?,
            driver: Driver::current()?,
        })
    }

    /// Gets `pages` writable pages granted.
    pub fn share(&mut self, pages: usize) -> io::Result<Share> {
        self.granter.share(pages, Access::ReadWrite)
    }

    /// Gets pages granted, fills them with a pattern and maps them writable.
    pub fn mapped(&mut self, pages: usize, seed: u32) -> io::Result<Mapped> {
        let share = self.share(pages)?;
        self.granter.fill(&share, seed)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let mapping = device.map(index, pages, Protection::ReadWrite)?;
        Ok(Mapped {
            device,
            index,
            share,
            mapping,
        })
    }

    /// Fails the case if the granter does not see the pattern.
    pub fn assert_granter_sees(&mut self, share: &Share, seed: u32) {
        let difference = self.granter.first_difference(share, seed);
        assert_eq!(difference.expect("the granter's answer"), None);
    }

    /// Returns `true` in a paravirtual domain.
    pub fn is_paravirtual(&self) -> bool {
        self.model == MemoryModel::Paravirtual
    }
}

/// Pages of a granter, mapped writable through the device itself.
pub struct Mapped {
    /// The open file that mapped them.
    pub device: Gntdev,
    /// The region's index in it.
    pub index: u64,
    /// The pages, seen from the granter.
    pub share: Share,
    /// The pages, seen from here.
    pub mapping: Mapping,
}

/// Number of `grants` that the hypervisor holds mapped.
pub fn in_use(grants: &[GrantRef]) -> io::Result<usize> {
    Ok(GrantUsage::read()?.count(grants))
}

/// Fails the case if one of `grants` stays mapped.
pub fn assert_released(grants: &[GrantRef]) {
    let usage = settled(|usage| usage.count(grants) == 0).expect("Xen's grant table");
    assert_eq!(usage.count(grants), 0, "still mapped: {usage}");
}

/// Reads the hypervisor's table until it is as `wanted` or [`PATIENCE`] has passed. Grants may be
/// unmapped in the background, and there is no event for that.
pub fn settled(wanted: impl Fn(&GrantUsage) -> bool) -> io::Result<GrantUsage> {
    settle(PATIENCE, GrantUsage::read, wanted)
}

/// Fails the case unless the driver's totals have changed by `changes` since `before`, now or
/// soon, and the others have not.
pub fn assert_changes(before: &Counters, changes: &[(&str, i64)]) {
    let as_wanted = |now: &Counters| now.changes_since(before) == changes;
    let now = settle(PATIENCE, totals::read, as_wanted).expect("the totals");
    assert_eq!(now.changes_since(before), changes);
}

/// Fails the case unless `result` is the error `errno`.
pub fn assert_error<T, E: Into<io::Error>>(result: Result<T, E>, errno: i32, what: &str) {
    match result.map_err(Into::into) {
        Ok(_) => panic!("{what}: no error"),
        Err(error) => assert_eq!(
            error.raw_os_error(),
            Some(errno),
            "{what}: {error}, not {}",
            io::Error::from_raw_os_error(errno)
        ),
    }
}
