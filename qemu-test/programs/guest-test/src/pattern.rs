// SPDX-License-Identifier: GPL-2.0

//! Patterns that identify the memory that they are written to.

use xen_grants::bytes::Bytes;

/// Writing and checking of patterns.
pub trait Pattern {
    /// Writes the pattern of `seed` over all bytes.
    fn fill(&self, seed: u32);

    /// Returns the first offset at which memory differs from the pattern of `seed`.
    fn first_difference(&self, seed: u32) -> Option<usize>;

    /// As [`first_difference`](Self::first_difference), for a part that begins at offset `start` of
    /// the memory that was filled.
    fn first_difference_from(&self, start: usize, seed: u32) -> Option<usize>;
}

impl Pattern for Bytes {
    fn fill(&self, seed: u32) {
        for at in 0..self.len() {
            self.write(at, pattern(seed, at));
        }
    }

    fn first_difference(&self, seed: u32) -> Option<usize> {
        self.first_difference_from(0, seed)
    }

    fn first_difference_from(&self, start: usize, seed: u32) -> Option<usize> {
        (0..self.len()).find(|at| self.read(*at) != pattern(seed, start + at))
    }
}

/// Returns the byte at offset `at` of the pattern of `seed`. Adjacent pages and adjacent seeds
/// differ, so that mixed-up pages are noticed.
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
    use xen_grants::mapping::Mapping;
    use xen_grants::mapping::Protection;
    use xen_grants::PAGE_SIZE;

    use super::*;

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

    #[test]
    fn a_changed_byte_is_found() {
        let memory = Mapping::anonymous(2, Protection::ReadWrite).unwrap();
        memory.fill(5);
        assert_eq!(memory.first_difference(5), None);
        memory.write(5000, !memory.read(5000));
        assert_eq!(memory.first_difference(5), Some(5000));
    }
}
