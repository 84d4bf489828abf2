// SPDX-License-Identifier: GPL-2.0

//! Test data by the mebibyte: an emulated processor takes a few instructions for eight bytes of it.

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Word number `number` of the pattern that `seed` names. All words of a pattern differ, and so do
/// those of neighbouring seeds at the same place.
fn word(seed: u32, number: usize) -> u64 {
    let mixed = (number as u64)
        .wrapping_add(u64::from(seed) << 32)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// Fills `data`, which is a number of whole words, with the pattern that `seed` names.
pub fn fill(data: &mut [u8], seed: u32) {
    for (number, place) in data.chunks_exact_mut(WORD).enumerate() {
        place.copy_from_slice(&word(seed, number).to_le_bytes());
    }
}

/// Offset of the first word in `data` that is not of the pattern.
pub fn first_difference(data: &[u8], seed: u32) -> Option<usize> {
    data.chunks_exact(WORD)
        .enumerate()
        .position(|(number, place)| *place != word(seed, number).to_le_bytes())
        .map(|number| number * WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_is_found() {
        let mut data = vec![0; 4096];
        fill(&mut data, 7);
        assert_eq!(first_difference(&data, 7), None);
        assert_eq!(first_difference(&data, 8), Some(0));
        data[1003] ^= 1;
        assert_eq!(first_difference(&data, 7), Some(1000));
    }

    #[test]
    fn a_page_in_the_place_of_another_is_found() {
        let mut data = vec![0; 8192];
        fill(&mut data, 7);
        data.copy_within(4096.., 0);
        assert_eq!(first_difference(&data, 7), Some(0));
    }
}
