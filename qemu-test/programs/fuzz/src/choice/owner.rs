// SPDX-License-Identifier: GPL-2.0

//! Choice of operations of the domains that grant pages.

use xen_grants::PAGE_SIZE;

use super::chooser::Chooser;
use super::MOST_PAGES;
use crate::operation::Operation;
use crate::operation::SHARES;

/// Chooses [`Operation::Share`].
pub fn share(chooser: &mut Chooser) -> Operation {
    let slot = chooser.below(SHARES);
    share_in(chooser, slot)
}

/// Chooses [`Operation::Share`] for slot `share`.
pub fn share_in(chooser: &mut Chooser, share: usize) -> Operation {
    Operation::Share {
        share,
        pages: 1 + chooser.below(MOST_PAGES),
        writable: !chooser.one_of(5),
        seed: chooser.below(1 << 16) as u32,
    }
}

/// Chooses [`Operation::Unshare`].
pub fn unshare(chooser: &mut Chooser) -> Operation {
    Operation::Unshare {
        share: chooser.below(SHARES),
    }
}

/// Chooses [`Operation::OwnerRead`].
pub fn read(chooser: &mut Chooser) -> Operation {
    Operation::OwnerRead {
        share: chooser.held(|guess| &guess.shares),
        at: chooser.below(MOST_PAGES * PAGE_SIZE),
    }
}

/// Chooses [`Operation::OwnerWrite`].
pub fn write(chooser: &mut Chooser) -> Operation {
    Operation::OwnerWrite {
        share: chooser.held(|guess| &guess.shares),
        at: chooser.below(MOST_PAGES * PAGE_SIZE),
        value: chooser.below(256) as u8,
    }
}
