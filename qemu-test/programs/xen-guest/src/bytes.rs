// SPDX-License-Identifier: GPL-2.0

//! Memory that somebody else may read and write at any time.

use std::fmt;
use std::sync::atomic::AtomicU32;

use crate::PAGE_SIZE;

/// A run of mapped bytes, seen without owning it.
///
/// Whoever owns the mapping hands this out by reference, so the addresses stay
/// reserved while it lives. The pages behind them may be gone all the same
/// (that is what some tests are about): touching such a page ends the process
/// by a signal, it never reaches other memory.
pub struct Bytes {
    address: usize,
    length: usize,
}

impl Bytes {
    /// # Safety
    ///
    /// `address..address + length` must belong to a mapping that holds no Rust
    /// object and that stays reserved as long as the result can be reached.
    pub(crate) unsafe fn new(address: usize, length: usize) -> Self {
        Self { address, length }
    }

    /// The first byte's address.
    pub fn address(&self) -> usize {
        self.address
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Number of pages.
    pub fn pages(&self) -> usize {
        self.length / PAGE_SIZE
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        assert!(length <= self.length);
        self.length = length;
    }

    fn pointer(&self, at: usize) -> *mut u8 {
        assert!(at < self.length, "byte {at} of {}", self.length);
        (self.address + at) as *mut u8
    }

    /// The byte at offset `at`.
    pub fn read(&self, at: usize) -> u8 {
        // SAFETY: `pointer` checked the bound, and by this type's contract the
        // address is ours and is not part of a Rust object.
        unsafe { self.pointer(at).read_volatile() }
    }

    /// Sets the byte at offset `at`.
    pub fn write(&self, at: usize, value: u8) {
        // SAFETY: As in `read`.
        unsafe { self.pointer(at).write_volatile(value) }
    }

    /// The four bytes from offset `at` on as one number, which two domains may
    /// use at the same time.
    pub fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at % size_of::<AtomicU32>() == 0, "byte {at} begins no word");
        let pointer = self.pointer(at + size_of::<AtomicU32>() - 1);
        // SAFETY: All four bytes are within the bound, aligned as a word, and
        // stay reserved as long as `self` is borrowed. They are part of no Rust
        // object, and any value is good for an atomic.
        unsafe { AtomicU32::from_ptr(pointer.sub(size_of::<AtomicU32>() - 1).cast()) }
    }

    /// Writes `values` from offset `at` on.
    pub fn write_all(&self, at: usize, values: &[u8]) {
        for (index, value) in values.iter().enumerate() {
            self.write(at + index, *value);
        }
    }

    /// The `count` bytes from offset `at` on.
    pub fn read_vec(&self, at: usize, count: usize) -> Vec<u8> {
        (at..at + count).map(|at| self.read(at)).collect()
    }

    /// Writes the pattern that `seed` names over everything.
    pub fn fill(&self, seed: u32) {
        for at in 0..self.length {
            self.write(at, pattern(seed, at));
        }
    }

    /// The first offset at which the pattern that `seed` names is not there.
    pub fn first_difference(&self, seed: u32) -> Option<usize> {
        self.first_difference_from(0, seed)
    }

    /// As [`Self::first_difference`], for a part that began at offset `start`
    /// of what was filled.
    pub fn first_difference_from(&self, start: usize, seed: u32) -> Option<usize> {
        (0..self.length).find(|at| self.read(*at) != pattern(seed, start + at))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}+{:#x}", self.address, self.length)
    }
}

/// The byte at offset `at` of the pattern that `seed` names. Neighbouring
/// pages and neighbouring seeds differ, so that mixed-up pages are noticed.
pub fn pattern(seed: u32, at: usize) -> u8 {
    let mixed = (at as u32)
        .wrapping_add(seed.wrapping_mul(0x9e37_79b1))
        .wrapping_mul(0x85eb_ca6b);
    (mixed ^ (mixed >> 15))
        .wrapping_mul(0xc2b2_ae35)
        .to_be_bytes()[0]
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn words_are_the_bytes_that_they_lie_in() {
        let mut memory = [AtomicU32::new(0), AtomicU32::new(0)];
        // SAFETY: The memory outlives the view, and nothing else reads it.
        let bytes = unsafe { Bytes::new(memory.as_mut_ptr() as usize, 8) };
        bytes.word(4).store(0x0102_0304, Ordering::Relaxed);
        assert_eq!(bytes.read_vec(0, 8), [0, 0, 0, 0, 4, 3, 2, 1]);
    }

    #[test]
    #[should_panic(expected = "byte 11 of 8")]
    fn a_word_beyond_the_end_is_refused() {
        let mut memory = [AtomicU32::new(0), AtomicU32::new(0)];
        // SAFETY: As above.
        let bytes = unsafe { Bytes::new(memory.as_mut_ptr() as usize, 8) };
        bytes.word(8);
    }

    #[test]
    fn pages_and_seeds_have_patterns_of_their_own() {
        let page = |seed, number| -> Vec<u8> {
            (0..PAGE_SIZE)
                .map(|at| pattern(seed, number * PAGE_SIZE + at))
                .collect()
        };

        assert_ne!(page(1, 0), page(1, 1));
        assert_ne!(page(1, 0), page(2, 0));
        assert_eq!(page(3, 7), page(3, 7));
    }
}
