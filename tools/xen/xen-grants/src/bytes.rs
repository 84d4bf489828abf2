// SPDX-License-Identifier: GPL-2.0

//! Memory that another domain, device or process reads and writes at the same time.

use std::fmt;
use std::sync::atomic::AtomicU32;

use crate::PAGE_SIZE;

/// View of mapped memory that others may read and write at any time.
///
/// No reference to plain bytes is handed out, only to atomic words: each byte is copied once, by a
/// volatile access, and a copy that was checked does not change any more. The owner of a mapping
/// hands out the view by reference, so that the addresses stay reserved while it is in use. An
/// access to pages that are mapped no longer ends the process by a signal.
pub struct Bytes {
    address: usize,
    length: usize,
}

impl Bytes {
    /// View of the `length` bytes at `address`.
    ///
    /// # Safety
    ///
    /// No byte of the range may belong to a Rust object, now or while the view is in use. This
    /// holds for memory that a mapping of the caller's keeps reserved, and for addresses that can
    /// not be mapped at all.
    pub const unsafe fn new(address: usize, length: usize) -> Self {
        Self { address, length }
    }

    /// Address of the first byte.
    pub fn address(&self) -> usize {
        self.address
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True if there is no byte.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Number of pages.
    pub fn pages(&self) -> usize {
        self.length / PAGE_SIZE
    }

    fn pointer(&self, at: usize) -> *mut u8 {
        assert!(at < self.length, "byte {at} of {}", self.length);
        (self.address + at) as *mut u8
    }

    /// The byte at offset `at`.
    ///
    /// # Panics
    ///
    /// Panics if the offset is out of bounds, as all accesses do.
    pub fn read(&self, at: usize) -> u8 {
        // SAFETY: `pointer` has checked the bound, and by the contract of `new` the byte belongs to
        // no Rust object.
        unsafe { self.pointer(at).read_volatile() }
    }

    /// Sets the byte at offset `at`.
    pub fn write(&self, at: usize, value: u8) {
        // SAFETY: As in `read`.
        unsafe { self.pointer(at).write_volatile(value) }
    }

    /// The `count` bytes from offset `at` on.
    pub fn read_vec(&self, at: usize, count: usize) -> Vec<u8> {
        (at..at + count).map(|at| self.read(at)).collect()
    }

    /// Writes `values` from offset `at` on.
    pub fn write_all(&self, at: usize, values: &[u8]) {
        for (index, value) in values.iter().enumerate() {
            self.write(at + index, *value);
        }
    }

    /// The four bytes from offset `at` on as a number that two domains may use at the same time.
    ///
    /// # Panics
    ///
    /// Panics if the offset is out of bounds or no multiple of four.
    pub fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at % size_of::<AtomicU32>() == 0, "byte {at} begins no word");
        let pointer = self.pointer(at + size_of::<AtomicU32>() - 1);
        // SAFETY: All four bytes are within the bound, aligned as a word, and stay reserved while
        // `self` is borrowed. They belong to no Rust object, and each value is valid for an atomic.
        unsafe { AtomicU32::from_ptr(pointer.sub(size_of::<AtomicU32>() - 1).cast()) }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}+{:#x}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn words_are_the_bytes_that_they_lie_in() {
        let mut memory = [AtomicU32::new(0), AtomicU32::new(0)];
        // SAFETY: The memory outlives the view, and nothing else uses it.
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
}
