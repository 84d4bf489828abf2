// SPDX-License-Identifier: GPL-2.0

//! The rules, by subject.

use crate::suite::Rule;

pub mod arguments;
pub mod compat;
pub mod data;
pub mod dmabuf;
pub mod failures;
pub mod faults;
pub mod full_table;
pub mod grant_copy;
pub mod kernel_users;
pub mod lifetime;
pub mod limits;
pub mod locks;
pub mod lookup;
pub mod map_fixed;
pub mod memory_calls;
pub mod own_grants;
pub mod page_monitors;
pub mod populate;
pub mod regions;
pub mod remote_domain;
pub mod table;
pub mod threads;
pub mod totals;
pub mod unmap_notify;
pub mod visibility;
pub mod volume;

/// The rules that hold for any granter.
pub fn of_any_granter() -> Vec<&'static Rule> {
    [
        table::RULES,
        data::RULES,
        regions::RULES,
        lookup::RULES,
        arguments::RULES,
        failures::RULES,
        lifetime::RULES,
        map_fixed::RULES,
        memory_calls::RULES,
        page_monitors::RULES,
        populate::RULES,
        kernel_users::RULES,
        threads::RULES,
        unmap_notify::end_of_region::RULES,
        unmap_notify::actions::RULES,
        unmap_notify::mapping::RULES,
        unmap_notify::arguments::RULES,
        unmap_notify::load::RULES,
        grant_copy::bytes::RULES,
        grant_copy::refusals::RULES,
        grant_copy::local_faults::RULES,
        grant_copy::arguments::RULES,
        grant_copy::local_memory::RULES,
        grant_copy::load::RULES,
        visibility::RULES,
        totals::RULES,
        limits::RULES,
        locks::RULES,
        compat::RULES,
        volume::RULES,
    ]
    .into_iter()
    .flatten()
    .collect()
}
