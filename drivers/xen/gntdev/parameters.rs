// SPDX-License-Identifier: GPL-2.0

//! Module parameters.

#![deny(unsafe_code)]

use crate::{
    limits,
    xen::kernel::module_param::uint_param, //
};

uint_param! {
    /// Maximum number of grants in a region or pages in a dma-buf.
    "xen_gntdev_rust", "limit", static LIMIT = limits::DEFAULT_LIMIT,
    "Maximum number of grants that may be mapped by one mapping request"
}
