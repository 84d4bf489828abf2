// SPDX-License-Identifier: GPL-2.0

//! Files that other processes have open.

use std::fs;
use std::io;
use std::path::Path;

/// True if `process`, a folder in /proc, has the file at `path` open.
pub fn has_open(process: &Path, path: &str) -> io::Result<bool> {
    for descriptor in fs::read_dir(process.join("fd"))? {
        // A descriptor may be closed meanwhile.
        let file = fs::read_link(descriptor?.path());
        if file.is_ok_and(|file| file == Path::new(path)) {
            return Ok(true);
        }
    }
    Ok(false)
}
