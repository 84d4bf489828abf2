// SPDX-License-Identifier: GPL-2.0

//! Parts of gntdev that need `unsafe` code: its UAPI structures, the segments of a grant copy, and
//! its trace events.
//!
//! The reader is someone who adds an ioctl or a trace event. Files of this room may use all other
//! rooms; only the driver in `drivers/xen/gntdev` uses them.

pub(crate) mod copy_segment;
pub(crate) mod trace;
pub(crate) mod uapi;
