// SPDX-License-Identifier: GPL-2.0

//! The picture that a domU draws: one that a person recognises, with the
//! domain's id in it, and no two pages of it alike, so that misplaced ones are
//! seen.

use crate::font;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;

const WHITE: u32 = 0xff_ffff;
const INK: u32 = 0x10_1830;
const SUN: u32 = 0xff_d040;
/// A test card's bars along the lower edge.
const BARS: [u32; 8] = [
    0xff_ffff, 0xff_ff00, 0x00_ffff, 0x00_ff00, 0xff_00ff, 0xff_0000, 0x00_00ff, 0x00_0000,
];
const BARS_TOP: u32 = 400;

/// A drawn picture.
pub struct Picture {
    /// Row by row, 0xRRGGBB.
    colors: Vec<u32>,
}

impl Picture {
    /// The picture of domain `domid`.
    pub fn of_domain(domid: u32) -> Self {
        let mut this = Self {
            colors: vec![0; (WIDTH * HEIGHT) as usize],
        };
        this.fill(background);
        this.fill(|x, y, below| if in_sun(x, y) { SUN } else { below });
        this.fill(|x, y, below| match y {
            BARS_TOP.. => bar(x, y),
            _ => below,
        });
        this.write_centered(150, 10, &format!("DOMAIN {domid}"));
        this.write_centered(260, 4, "DREW THIS IN ITS MEMORY");
        this.write_centered(310, 4, "DOM0 SHOWS IT");
        this.write_centered(360, 2, "GRANTED PAGES, A DMA-BUF, NO COPY BETWEEN");
        this
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        WIDTH
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        HEIGHT
    }

    /// The colour of a pixel, 0xRRGGBB.
    pub fn color(&self, x: u32, y: u32) -> u32 {
        self.colors[(y * WIDTH + x) as usize]
    }

    fn fill(&mut self, color: impl Fn(u32, u32, u32) -> u32) {
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let pixel = &mut self.colors[(y * WIDTH + x) as usize];
                *pixel = color(x, y, *pixel);
            }
        }
    }

    /// Writes a line of text with a shadow; each dot of a letter becomes a
    /// square of `scale` pixels. What is too long is cut off on both sides.
    fn write_centered(&mut self, top: u32, scale: u32, text: &str) {
        let width = text.len() as u32 * font::ADVANCE * scale;
        let left = i64::from(WIDTH / 2) - i64::from(width / 2);
        let shadow = i64::from(scale / 2).max(1);
        for (offset, color) in [(shadow, INK), (0, WHITE)] {
            for (index, letter) in text.chars().enumerate() {
                let start = left + index as i64 * i64::from(font::ADVANCE * scale);
                for (x, y) in font::dots(letter) {
                    let x = start + i64::from(x * scale) + offset;
                    let y = i64::from(top + y * scale) + offset;
                    self.square(x, y, scale, color);
                }
            }
        }
    }

    fn square(&mut self, left: i64, top: i64, size: u32, color: u32) {
        for y in top..top + i64::from(size) {
            for x in left..left + i64::from(size) {
                if (0..i64::from(WIDTH)).contains(&x) && (0..i64::from(HEIGHT)).contains(&y) {
                    self.colors[(y * i64::from(WIDTH) + x) as usize] = color;
                }
            }
        }
    }
}

/// From blue to green downwards, and redder to the right.
fn background(x: u32, y: u32, _: u32) -> u32 {
    let red = x * 200 / WIDTH;
    let green = y * 180 / HEIGHT;
    let blue = 220 - y * 140 / HEIGHT;
    (red << 16) | (green << 8) | blue
}

/// The bars grow darker downwards.
fn bar(x: u32, y: u32) -> u32 {
    let color = BARS[(x * BARS.len() as u32 / WIDTH) as usize];
    let [_, channels @ ..] = color.to_be_bytes();
    channels.into_iter().fold(0, |sum, channel| {
        let dimmed = u32::from(channel) * (HEIGHT - y) / (HEIGHT - BARS_TOP);
        (sum << 8) | dimmed
    })
}

fn in_sun(x: u32, y: u32) -> bool {
    x.abs_diff(540).pow(2) + y.abs_diff(80).pow(2) < 50 * 50
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_domain_has_a_picture_of_its_own() {
        let picture = Picture::of_domain(1);
        assert!(picture.colors == Picture::of_domain(1).colors);
        assert!(picture.colors != Picture::of_domain(2).colors);
    }

    #[test]
    fn a_wrong_order_of_pages_would_show() {
        let picture = Picture::of_domain(1);
        let pages: HashSet<&[u32]> = picture.colors.chunks(1024).collect();
        assert_eq!(pages.len(), 300);
    }

    #[test]
    fn the_largest_id_can_be_drawn() {
        Picture::of_domain(u32::MAX);
    }
}
