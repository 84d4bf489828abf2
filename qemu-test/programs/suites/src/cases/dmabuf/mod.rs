// SPDX-License-Identifier: GPL-2.0

//! The rules of dma-bufs: exports, which are made of granted pages, and imports, whose pages are
//! granted.

use crate::suite::Rule;

pub mod arguments;
mod buffers;
pub mod card;
pub mod export;
pub mod import;
pub mod importer;
pub mod lifetime;
pub mod mapping;
pub mod notice;
pub mod offset;
pub mod peer;
pub(super) mod pictures;
pub mod references;
pub mod threads;
pub mod totals;
pub mod visibility;
pub mod volume;
pub mod wait;

/// The rules that hold for any granter.
pub fn of_any_granter() -> Vec<&'static Rule> {
    [
        export::RULES,
        mapping::access::RULES,
        mapping::unmap::RULES,
        mapping::fork::RULES,
        mapping::memory_calls::RULES,
        mapping::page_monitors::RULES,
        mapping::populate::RULES,
        mapping::kernel_users::RULES,
        wait::end::RULES,
        wait::holders::RULES,
        wait::concurrent::RULES,
        notice::RULES,
        lifetime::RULES,
        arguments::counts::RULES,
        arguments::addresses::RULES,
        arguments::grants::RULES,
        import::RULES,
        references::RULES,
        peer::RULES,
        offset::RULES,
        threads::RULES,
        visibility::RULES,
        totals::RULES,
        volume::RULES,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The rules that need a graphics card.
pub fn of_card() -> Vec<&'static Rule> {
    card::RULES.iter().collect()
}

/// The rules that need the importer for tests, a module of the kernel.
pub fn of_importer() -> Vec<&'static Rule> {
    importer::RULES.iter().collect()
}
