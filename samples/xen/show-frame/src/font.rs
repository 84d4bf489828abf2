// SPDX-License-Identifier: GPL-2.0

//! Letters of five by seven dots.

/// Dots from one letter to the next.
pub const ADVANCE: u32 = 6;

/// The letters of each block, and how they look.
const BLOCKS: [(&str, &str); 7] = [
    (
        "ABCDEFG",
        "\
.###. ####. .###. ####. ##### ##### .###.
#...# #...# #...# #...# #.... #.... #...#
#...# #...# #.... #...# #.... #.... #....
##### ####. #.... #...# ####. ####. #.###
#...# #...# #.... #...# #.... #.... #...#
#...# #...# #...# #...# #.... #.... #...#
#...# ####. .###. ####. ##### #.... .####",
    ),
    (
        "HIJKLMN",
        "\
#...# .###. ....# #...# #.... #...# #...#
#...# ..#.. ....# #..#. #.... ##.## ##..#
#...# ..#.. ....# #.#.. #.... #.#.# #.#.#
##### ..#.. ....# ##... #.... #.#.# #.#.#
#...# ..#.. ....# #.#.. #.... #...# #.#.#
#...# ..#.. #...# #..#. #.... #...# #..##
#...# .###. .###. #...# ##### #...# #...#",
    ),
    (
        "OPQRSTU",
        "\
.###. ####. .###. ####. .#### ##### #...#
#...# #...# #...# #...# #.... ..#.. #...#
#...# #...# #...# #...# #.... ..#.. #...#
#...# ####. #...# ####. .###. ..#.. #...#
#...# #.... #.#.# #.#.. ....# ..#.. #...#
#...# #.... #..#. #..#. ....# ..#.. #...#
.###. #.... .##.# #...# ####. ..#.. .###.",
    ),
    (
        "VWXYZ",
        "\
#...# #...# #...# #...# #####
#...# #...# #...# #...# ....#
#...# #...# .#.#. .#.#. ...#.
#...# #.#.# ..#.. ..#.. ..#..
.#.#. #.#.# .#.#. ..#.. .#...
.#.#. ##.## #...# ..#.. #....
..#.. #...# #...# ..#.. #####",
    ),
    (
        "01234",
        "\
.###. ..#.. .###. .###. ...#.
#...# .##.. #...# #...# ..##.
#..## ..#.. ....# ....# .#.#.
#.#.# ..#.. ...#. ..##. #..#.
##..# ..#.. ..#.. ....# #####
#...# ..#.. .#... #...# ...#.
.###. .###. ##### .###. ...#.",
    ),
    (
        "56789",
        "\
##### .###. ##### .###. .###.
#.... #.... ....# #...# #...#
####. #.... ...#. #...# #...#
....# ####. ..#.. .###. .####
....# #...# ..#.. #...# ....#
#...# #...# ..#.. #...# ....#
.###. .###. ..#.. .###. .###.",
    ),
    (
        " ,-",
        "\
..... ..... .....
..... ..... .....
..... ..... .....
..... ..... #####
..... ..##. .....
..... ..##. .....
..... ..#.. .....",
    ),
];

/// The places of a letter's dots, from its upper left corner. A letter that
/// the font lacks has none.
pub fn dots(letter: char) -> impl Iterator<Item = (u32, u32)> {
    (0u32..).zip(rows(letter)).flat_map(|(y, row)| {
        (0u32..)
            .zip(row.chars())
            .filter(|(_, dot)| *dot == '#')
            .map(move |(x, _)| (x, y))
    })
}

fn rows(letter: char) -> impl Iterator<Item = &'static str> {
    let place = BLOCKS
        .iter()
        .find_map(|(letters, block)| Some((letters.find(letter)?, *block)));
    place.into_iter().flat_map(|(index, block)| {
        block
            .lines()
            .filter_map(move |line| line.split(' ').nth(index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_letters_are_there_and_differ() {
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,-";
        let mut glyphs: Vec<Vec<&str>> = letters
            .chars()
            .map(|letter| rows(letter).collect())
            .collect();
        assert!(glyphs.iter().all(|glyph| glyph.len() == 7));
        assert!(glyphs.iter().flatten().all(|row| row.len() == 5));
        glyphs.sort();
        glyphs.dedup();
        assert_eq!(glyphs.len(), letters.len());
    }

    #[test]
    fn dots_are_where_they_were_drawn() {
        let comma: Vec<_> = dots(',').collect();
        assert_eq!(comma, [(2, 4), (3, 4), (2, 5), (3, 5), (2, 6)]);
    }
}
