// SPDX-License-Identifier: GPL-2.0

//! Choice of operations on mappings.

use xen_grants::PAGE_SIZE;

use super::chooser::Chooser;
use super::device::rights;
use super::MOST_PAGES;
use crate::argument::By;
use crate::operation::Operation;

/// Chooses [`Operation::Split`].
pub fn split(chooser: &mut Chooser) -> Operation {
    let mapping = chooser.slot(
        |guess| &guess.mappings,
        |held| held.is_some_and(|mapping| mapping.pages > 1),
    );
    let pages = chooser.guess.mappings[mapping].map_or(MOST_PAGES, |mapping| mapping.pages);
    Operation::Split {
        mapping,
        rest: chooser.free(|guess| &guess.mappings),
        at: if pages > 1 {
            1 + chooser.below(pages - 1)
        } else {
            0
        },
    }
}

/// Chooses [`Operation::Unmap`].
pub fn unmap(chooser: &mut Chooser) -> Operation {
    Operation::Unmap {
        mapping: chooser.mapping(),
    }
}

/// Chooses [`Operation::Protect`].
pub fn protect(chooser: &mut Chooser) -> Operation {
    Operation::Protect {
        mapping: chooser.mapping(),
        rights: rights(chooser),
    }
}

/// Chooses [`Operation::Discard`].
pub fn discard(chooser: &mut Chooser) -> Operation {
    Operation::Discard {
        mapping: chooser.mapping(),
    }
}

/// Chooses [`Operation::Relocate`].
pub fn relocate(chooser: &mut Chooser) -> Operation {
    Operation::Relocate {
        mapping: chooser.mapping(),
    }
}

/// Chooses [`Operation::Grow`].
pub fn grow(chooser: &mut Chooser) -> Operation {
    Operation::Grow {
        mapping: chooser.mapping(),
    }
}

fn by(chooser: &mut Chooser) -> By {
    match chooser.below(24) {
        0 => By::Direct,
        1..=4 => By::Process,
        5..=8 => By::Reference,
        9..=12 => By::Kernel,
        _ => By::Program,
    }
}

/// Chooses [`Operation::Load`].
pub fn load(chooser: &mut Chooser) -> Operation {
    Operation::Load {
        mapping: chooser.mapping(),
        by: by(chooser),
    }
}

/// Chooses [`Operation::Store`].
pub fn store(chooser: &mut Chooser) -> Operation {
    Operation::Store {
        mapping: chooser.mapping(),
        at: chooser.below(MOST_PAGES * PAGE_SIZE),
        value: chooser.below(256) as u8,
        by: by(chooser),
    }
}

/// Chooses [`Operation::Splice`].
pub fn splice(chooser: &mut Chooser) -> Operation {
    Operation::Splice {
        mapping: chooser.mapping(),
    }
}

/// Chooses [`Operation::Drain`].
pub fn drain(_: &mut Chooser) -> Operation {
    Operation::Drain
}
