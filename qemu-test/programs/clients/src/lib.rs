// SPDX-License-Identifier: GPL-2.0

//! System suites for the programs that live on `/dev/xen/gntdev`: the toolstack's daemons, QEMU's
//! back ends, libxenvchan. They run in dom0, make domains of their own and look after each whether
//! anything is left of it.
//!
//! In these domains runs program `agent`, which does what dom0 tells it to.

#![forbid(unsafe_code)]

pub mod agent;
pub mod blocks;
pub mod command;
pub mod console;
pub mod disk;
pub mod domain;
mod lifeless_kernel;
pub mod limit;
pub mod open_files;
pub mod pattern;
pub mod suite;
pub mod suspend;
pub mod vchan_report;
