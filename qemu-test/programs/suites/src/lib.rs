// SPDX-License-Identifier: GPL-2.0

//! System suites for `/dev/xen/gntdev`: the rules that the device keeps, each tried with the real
//! libxengnttab on real grants.
//!
//! The same cases run against two kinds of granter. A paravirtual domain maps its own grants
//! ([`local::LocalGranter`]), so dom0 can test alone. Any other domain would destroy its memory by
//! that and maps a domU's grants ([`remote::RemoteGranter`]), which program `granter` hands out
//! there.

#![forbid(unsafe_code)]

pub mod argument;
pub mod cases;
pub mod faults;
pub mod granter;
pub mod limit;
pub mod local;
pub mod own_grants;
pub mod protocol;
pub mod random;
pub mod remote;
pub mod step;
pub mod suite;
pub mod task;
pub mod tcp;
pub mod wait;
pub mod world;
