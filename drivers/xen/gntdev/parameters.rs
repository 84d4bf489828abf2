// SPDX-License-Identifier: GPL-2.0

//! Parameters of the module.

#![deny(unsafe_code)]

use crate::{
    limits,
    xen::kernel::module_param::uint_param, //
};

uint_param! {
    /// The number of grants that one region can have.
    "xen_gntdev_rust", "limit", static LIMIT = limits::DEFAULT_LIMIT,
    "Maximum number of grants that may be mapped by one mapping request"
}
