// SPDX-License-Identifier: GPL-2.0

//! A disk, or a file, full of a pattern: written and checked past all caches.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use xen_guest::mapping::Mapping;
use xen_guest::mapping::Protection;
use xen_guest::open_flag::O_DIRECT;
use xen_guest::PAGE_SIZE;

/// Bytes that one system call moves.
const BLOCK: usize = 1 << 20;

/// Writes `mib` mebibytes of the pattern that `seed` names to `path`.
pub fn write(path: &Path, mib: usize, seed: u32) -> io::Result<()> {
    let file = open(OpenOptions::new().write(true), path)?;
    let block = Mapping::anonymous(BLOCK / PAGE_SIZE, Protection::ReadWrite)?;
    for number in 0..mib {
        block.fill(seed.wrapping_add(number as u32));
        let written = block.write_to(file.as_fd())?;
        whole(written, number)?;
    }
    file.sync_all()
}

/// Fails unless the first `mib` mebibytes of `path` are that pattern.
pub fn check(path: &Path, mib: usize, seed: u32) -> io::Result<()> {
    let file = open(OpenOptions::new().read(true), path)?;
    let block = Mapping::anonymous(BLOCK / PAGE_SIZE, Protection::ReadWrite)?;
    for number in 0..mib {
        let read = block.read_from(file.as_fd())?;
        whole(read, number)?;
        if let Some(at) = block.first_difference(seed.wrapping_add(number as u32)) {
            let message = format!("byte {at} of MiB {number} is not what was written");
            return Err(io::Error::other(message));
        }
    }
    Ok(())
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options
        .custom_flags(O_DIRECT)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn whole(bytes: usize, number: usize) -> io::Result<()> {
    if bytes != BLOCK {
        let message = format!("{bytes} bytes of MiB {number} instead of {BLOCK}");
        return Err(io::Error::other(message));
    }
    Ok(())
}
