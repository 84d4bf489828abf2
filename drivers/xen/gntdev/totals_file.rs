// SPDX-License-Identifier: GPL-2.0

//! File `xen/gntdev` in debugfs, which shows the totals of the driver.

#![forbid(unsafe_code)]

use crate::xen::{
    kernel::debugfs::{
        File,
        Show, //
    },
    totals::Total,
};
use kernel::{
    seq_file::SeqFile,
    seq_print, //
};

/// Totals, a line each: the name and the number.
enum Totals {}

impl Show for Totals {
    fn show(seq: &SeqFile) {
        for (total, name) in Total::ALL {
            seq_print!(seq, "{name} {}\n", total.get());
        }
    }
}

/// Creates the file, if the kernel has debugfs. May sleep.
pub(crate) fn create() -> File {
    File::new::<Totals>(c"xen", c"gntdev")
}
