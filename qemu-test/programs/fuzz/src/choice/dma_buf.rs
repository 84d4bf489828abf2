// SPDX-License-Identifier: GPL-2.0

//! Choice of operations on dma-bufs.

use xen_grants::PAGE_SIZE;

use super::chooser::Chooser;
use super::device::rights;
use super::MOST_PAGES;
use crate::operation::Operation;
use crate::operation::MEMORIES;

/// Chooses [`Operation::Export`].
pub fn export(chooser: &mut Chooser) -> Operation {
    let share = chooser.held(|guess| &guess.shares);
    let pages = chooser.guess.shares[share].map_or(MOST_PAGES, |share| share.pages);
    Operation::Export {
        file: chooser.file(),
        buffer: chooser.free(|guess| &guess.buffers),
        share,
        flags: chooser.pick(&[0, 0, 0, 0, 1, 1, 2, 2, 3, 1 << 31]),
        offset: chooser.one_of(3).then(|| {
            // Seldom beyond the end.
            let pages = pages + usize::from(chooser.one_of(10));
            chooser.below(pages * PAGE_SIZE) as u32
        }),
        bad: chooser.one_of(20),
    }
}

/// Chooses [`Operation::CloseBuffer`].
pub fn close(chooser: &mut Chooser) -> Operation {
    Operation::CloseBuffer {
        buffer: chooser.held(|guess| &guess.buffers),
    }
}

/// Chooses [`Operation::MapBuffer`].
pub fn map(chooser: &mut Chooser) -> Operation {
    let buffer = chooser.held(|guess| &guess.buffers);
    let all = chooser.guess.buffers[buffer].unwrap_or(MOST_PAGES);
    let first = if all > 1 { chooser.below(2) } else { 0 };
    // Seldom beyond the end.
    let most = all - first + usize::from(chooser.one_of(10));
    Operation::MapBuffer {
        buffer,
        mapping: chooser.free(|guess| &guess.mappings),
        first,
        pages: 1 + chooser.below(most),
        rights: rights(chooser),
        private: chooser.one_of(20),
    }
}

/// Chooses [`Operation::Wait`].
pub fn wait(chooser: &mut Chooser) -> Operation {
    Operation::Wait {
        file: chooser.file(),
        buffer: chooser.slot(|guess| &guess.buffers, |_| true),
        long: chooser.one_of(3),
    }
}

/// Chooses [`Operation::MakeMemory`].
pub fn make_memory(chooser: &mut Chooser) -> Operation {
    Operation::MakeMemory {
        memory: chooser.free(|guess| &guess.memories),
        pages: 1 + chooser.below(MOST_PAGES),
    }
}

/// Chooses [`Operation::CloseMemory`].
pub fn close_memory(chooser: &mut Chooser) -> Operation {
    Operation::CloseMemory {
        memory: chooser.below(MEMORIES),
    }
}

/// Chooses [`Operation::Import`].
pub fn import(chooser: &mut Chooser) -> Operation {
    Operation::Import {
        file: chooser.file(),
        memory: chooser.held(|guess| &guess.memories),
        more: chooser.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 1, 70_000]),
        wide_domain: chooser.one_of(20),
        second_form: chooser.one_of(2),
    }
}

/// Chooses [`Operation::EndImport`].
pub fn end_import(chooser: &mut Chooser) -> Operation {
    Operation::EndImport {
        file: chooser.file(),
        memory: chooser.below(MEMORIES),
    }
}
