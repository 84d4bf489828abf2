// SPDX-License-Identifier: GPL-2.0

//! Domains that end shares and grant others while threads use them.

use std::io;

use suites::granter::Granter;
use suites::granter::Share;
use suites::local::LocalGranter;
use suites::remote::RemoteGranter;
use xen_grants::grant_share::Access;
use xen_grants::GrantRef;
use xen_grants::DOM0;

use super::shared::PAGES;
use crate::setting::Setting;

/// The domains that grant pages, and their shares: one of dom0 and one of the domU.
pub struct Owners {
    own: LocalGranter,
    domu: Option<RemoteGranter>,
    shares: [Option<Share>; 2],
    next: usize,
}

impl Owners {
    /// Domains that grant one share each.
    ///
    /// # Errors
    ///
    /// Those of the granters.
    pub fn new(setting: Setting) -> io::Result<Self> {
        let mut owners = Self {
            own: LocalGranter::new(DOM0, DOM0)?,
            domu: setting.domu.map(RemoteGranter::connect).transpose()?,
            shares: [None, None],
            next: 0,
        };
        owners.change()?;
        owners.change()?;
        Ok(owners)
    }

    /// Replaces one of the shares.
    ///
    /// # Errors
    ///
    /// Those of the granters.
    pub fn change(&mut self) -> io::Result<()> {
        let slot = self.next % self.shares.len();
        self.next += 1;
        let granter: &mut dyn Granter = match &mut self.domu {
            Some(domu) if slot == 0 => domu,
            _ => &mut self.own,
        };
        if let Some(former) = self.shares[slot].take() {
            granter.unshare(former)?;
        }
        self.shares[slot] = Some(granter.share(PAGES, Access::ReadWrite)?);
        Ok(())
    }

    /// Returns the grants of all shares.
    pub fn grants(&self) -> Vec<GrantRef> {
        let shares = self.shares.iter().flatten();
        shares
            .flat_map(|share| share.grants.iter().copied())
            .collect()
    }
}
