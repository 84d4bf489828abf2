// SPDX-License-Identifier: GPL-2.0

//! A disk, or a file, full of a pattern: written and checked past all caches.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use guest_test::open_flag::O_DIRECT;
use xen_grants::PAGE_SIZE;

use crate::pattern;

/// Bytes that one system call moves.
const BLOCK: usize = 1 << 20;

/// Writes `mib` mebibytes of the pattern that `seed` names to `path`.
pub fn write(path: &Path, mib: usize, seed: u32) -> io::Result<()> {
    let mut file = open(OpenOptions::new().write(true), path)?;
    let mut block = Block::new();
    for number in 0..mib {
        pattern::fill(block.bytes(), seed.wrapping_add(number as u32));
        file.write_all(block.bytes())?;
    }
    file.sync_all()
}

/// Fails unless the first `mib` mebibytes of `path` are that pattern.
pub fn check(path: &Path, mib: usize, seed: u32) -> io::Result<()> {
    let mut file = open(OpenOptions::new().read(true), path)?;
    let mut block = Block::new();
    for number in 0..mib {
        file.read_exact(block.bytes())?;
        let seed = seed.wrapping_add(number as u32);
        if let Some(at) = pattern::first_difference(block.bytes(), seed) {
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

/// A buffer that begins a page, as direct I/O wants it.
struct Block {
    memory: Vec<u8>,
    begin: usize,
}

impl Block {
    fn new() -> Self {
        let memory = vec![0; BLOCK + PAGE_SIZE];
        let begin = memory.as_ptr().align_offset(PAGE_SIZE);
        Self { memory, begin }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.begin..][..BLOCK]
    }
}
