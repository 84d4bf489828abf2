// SPDX-License-Identifier: GPL-2.0

//! Execution of operations of the domains that grant pages.

use std::io;

use suites::granter::Granter;
use suites::granter::Share;
use suites::local::LocalGranter;
use suites::remote::RemoteGranter;
use xen_grants::grant_share::Access;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::domu;
use crate::operation::Operation;
use crate::operation::SHARES;
use crate::outcome::Outcome;
use crate::setting::Setting;

/// The domains, and their shares by slot.
pub struct Owners {
    setting: Setting,
    own: LocalGranter,
    domu: Option<RemoteGranter>,
    shares: [Option<Share>; SHARES],
    domu_has_ended: bool,
}

impl Owners {
    /// Domains that grant nothing yet.
    ///
    /// # Errors
    ///
    /// Those of the granters.
    pub fn new(setting: Setting) -> io::Result<Self> {
        Ok(Self {
            setting,
            own: LocalGranter::new(DOM0, DOM0)?,
            domu: setting.domu.map(RemoteGranter::connect).transpose()?,
            shares: [const { None }; SHARES],
            domu_has_ended: false,
        })
    }

    /// Returns the granter of the share in slot `slot`.
    fn granter(&mut self, slot: usize) -> &mut dyn Granter {
        let is_own = self.setting.owner(slot) == DOM0;
        match &mut self.domu {
            Some(domu) if !is_own => domu,
            _ => &mut self.own,
        }
    }

    /// Executes an operation on a share. Returns `None` if the slot does not hold what it takes.
    ///
    /// # Errors
    ///
    /// Those of the granters: a domU that does not answer is no result of the device.
    pub fn execute(&mut self, operation: &Operation) -> io::Result<Option<Outcome>> {
        match *operation {
            Operation::EndDomu => {
                let Some(domid) = self.setting.domu.filter(|_| !self.domu_has_ended) else {
                    return Ok(None);
                };
                domu::end(domid)?;
                self.domu_has_ended = true;
                for slot in (0..SHARES).filter(|slot| self.setting.owner(*slot) == domid) {
                    self.shares[slot] = None;
                }
            }
            Operation::Share { share, .. }
                if self.domu_has_ended && self.setting.owner(share) != DOM0 =>
            {
                return Ok(None);
            }
            Operation::Share {
                share,
                pages,
                writable,
                seed,
            } => {
                if let Some(former) = self.shares[share].take() {
                    self.granter(share).unshare(former)?;
                }
                let access = if writable {
                    Access::ReadWrite
                } else {
                    Access::ReadOnly
                };
                let granter = self.granter(share);
                let shared = granter.share(pages, access)?;
                granter.fill(&shared, seed)?;
                let grants = shared.grants.clone();
                self.shares[share] = Some(shared);
                return Ok(Some(Outcome::Grants(grants)));
            }
            Operation::Unshare { share } => {
                let Some(former) = self.shares[share].take() else {
                    return Ok(None);
                };
                self.granter(share).unshare(former)?;
            }
            Operation::OwnerRead { share, at } => {
                return self.with_share(share, |granter, shared| {
                    let byte = granter.read(shared, at % (shared.pages() * PAGE_SIZE))?;
                    Ok(Outcome::Bytes(vec![byte]))
                });
            }
            Operation::OwnerWrite { share, at, value } => {
                return self.with_share(share, |granter, shared| {
                    granter.write(shared, at % (shared.pages() * PAGE_SIZE), value)?;
                    Ok(Outcome::Done)
                });
            }
            _ => return Ok(None),
        }
        Ok(Some(Outcome::Done))
    }

    fn with_share(
        &mut self,
        slot: usize,
        ask: impl FnOnce(&mut dyn Granter, &Share) -> io::Result<Outcome>,
    ) -> io::Result<Option<Outcome>> {
        let Some(shared) = self.shares[slot].take() else {
            return Ok(None);
        };
        let outcome = ask(self.granter(slot), &shared)?;
        self.shares[slot] = Some(shared);
        Ok(Some(outcome))
    }
}
