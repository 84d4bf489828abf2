// SPDX-License-Identifier: GPL-2.0

//! The rules, by subject.

use crate::suite::Rule;

pub mod arguments;
pub mod data;
pub mod dmabuf;
pub mod failures;
pub mod grant_copy;
pub mod lifetime;
pub mod limits;
pub mod lookup;
pub mod memory_calls;
pub mod regions;
pub mod remote_domain;
pub mod table;
pub mod threads;
pub mod unmap_notify;
pub mod visibility;
pub mod volume;

/// The rules that hold whoever grants. The look at the whole table is last.
pub fn of_any_granter() -> Vec<&'static Rule> {
    [
        table::RULES,
        data::RULES,
        regions::RULES,
        lookup::RULES,
        arguments::RULES,
        failures::RULES,
        lifetime::RULES,
        memory_calls::RULES,
        threads::RULES,
        unmap_notify::RULES,
        grant_copy::RULES,
        visibility::RULES,
        limits::RULES,
        volume::RULES,
    ]
    .into_iter()
    .flatten()
    .collect()
}
