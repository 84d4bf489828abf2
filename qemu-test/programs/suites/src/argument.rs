// SPDX-License-Identifier: GPL-2.0

//! Memory for a request's argument that lacks a part or a permission.

use std::io;

use guest_test::mapping::MappingCalls;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;

/// Two pages, of which the second cannot be accessed.
pub fn half_readable() -> io::Result<Mapping> {
    let mut first = Mapping::anonymous(2, Protection::ReadWrite)?;
    let second = first.split_off(1);
    second.protect(Protection::None)?;
    first.join(second);
    Ok(first)
}

/// Writes `words` from offset `at` of `memory` on.
pub fn write_words(memory: &Mapping, at: usize, words: &[u32]) {
    for (index, word) in words.iter().enumerate() {
        memory.write_all(at + index * size_of::<u32>(), &word.to_le_bytes());
    }
}

/// Argument of `words` in memory that can be read only.
pub fn read_only(words: &[u32]) -> io::Result<Mapping> {
    let memory = Mapping::anonymous(1, Protection::ReadWrite)?;
    write_words(&memory, 0, words);
    memory.protect(Protection::Read)?;
    Ok(memory)
}
