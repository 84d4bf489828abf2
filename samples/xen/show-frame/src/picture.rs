// SPDX-License-Identifier: GPL-2.0

//! The picture that a domU draws. A person recognises it, it contains the id of the domain, and no
//! two of its pages are alike, so that misplaced ones are visible.

use std::convert::Infallible;

use embedded_graphics::mono_font::ascii::FONT_10X20;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Circle;
use embedded_graphics::primitives::PrimitiveStyle;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::Alignment;
use embedded_graphics::text::Text;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;

const INK: Rgb888 = Rgb888::new(0x10, 0x18, 0x30);
const SUN: Rgb888 = Rgb888::new(0xff, 0xd0, 0x40);
/// Colours of a test card, side by side along the lower edge.
const BARS: [Rgb888; 8] = [
    Rgb888::WHITE,
    Rgb888::YELLOW,
    Rgb888::CYAN,
    Rgb888::GREEN,
    Rgb888::MAGENTA,
    Rgb888::RED,
    Rgb888::BLUE,
    Rgb888::BLACK,
];
const BARS_TOP: u32 = 400;

/// A drawn picture.
#[derive(PartialEq)]
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
        match this.draw(domid) {
            Ok(()) => this,
            Err(never) => match never {},
        }
    }

    fn draw(&mut self, domid: u32) -> Result<(), Infallible> {
        let area = self.bounding_box();
        self.fill_contiguous(&area, area.points().map(background))?;
        Circle::with_center(Point::new(540, 80), 100)
            .into_styled(PrimitiveStyle::with_fill(SUN))
            .draw(self)?;
        self.write(Point::new(320, 200), 4, &format!("DOMAIN {domid}"))?;
        self.write(Point::new(320, 275), 2, "drew this in its memory,")?;
        self.write(Point::new(320, 325), 2, "dom0 shows it.")?;
        self.write(
            Point::new(320, 370),
            1,
            "Granted pages, a dma-buf, and no copy between",
        )
    }

    /// Writes a line with a shadow, centered at `position`. Each dot of a letter becomes a square
    /// of `scale` pixels.
    fn write(&mut self, position: Point, scale: u32, text: &str) -> Result<(), Infallible> {
        for (offset, color) in [(Point::new_equal(2), INK), (Point::zero(), Rgb888::WHITE)] {
            let style = MonoTextStyle::new(&FONT_10X20, color);
            let mut target = Scaled {
                picture: self,
                position: position + offset,
                scale,
            };
            Text::with_alignment(text, Point::zero(), style, Alignment::Center)
                .draw(&mut target)?;
        }
        Ok(())
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        WIDTH
    }

    /// Number of rows.
    pub fn height(&self) -> u32 {
        HEIGHT
    }

    /// The rows of pixels, each 0xRRGGBB.
    pub fn rows(&self) -> impl Iterator<Item = &[u32]> {
        self.colors.chunks(WIDTH as usize)
    }
}

/// From blue to green downwards, and redder to the right; bars that grow darker at the lower edge.
fn background(point: Point) -> Rgb888 {
    let (x, y) = (point.x as u32, point.y as u32);
    if y >= BARS_TOP {
        let bar = BARS[(x * BARS.len() as u32 / WIDTH) as usize];
        let dim = |channel: u8| (u32::from(channel) * (HEIGHT - y) / (HEIGHT - BARS_TOP)) as u8;
        return Rgb888::new(dim(bar.r()), dim(bar.g()), dim(bar.b()));
    }
    let channel = |value: u32| value as u8;
    Rgb888::new(
        channel(x * 200 / WIDTH),
        channel(y * 180 / HEIGHT),
        channel(220 - y * 140 / HEIGHT),
    )
}

impl OriginDimensions for Picture {
    fn size(&self) -> Size {
        Size::new(WIDTH, HEIGHT)
    }
}

impl DrawTarget for Picture {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let area = self.bounding_box();
        for Pixel(point, color) in pixels {
            if area.contains(point) {
                let index = point.y as u32 * WIDTH + point.x as u32;
                self.colors[index as usize] = color.into_storage();
            }
        }
        Ok(())
    }
}

/// A picture on which each pixel that is drawn becomes a square, with the origin at `position`.
struct Scaled<'a> {
    picture: &'a mut Picture,
    position: Point,
    scale: u32,
}

impl Dimensions for Scaled<'_> {
    fn bounding_box(&self) -> Rectangle {
        let area = self.picture.bounding_box().translate(-self.position);
        let scale = self.scale as i32;
        Rectangle::new(area.top_left / scale, area.size / self.scale)
    }
}

impl DrawTarget for Scaled<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(point, color) in pixels {
            let corner = self.position + point * self.scale as i32;
            let square = Rectangle::new(corner, Size::new_equal(self.scale));
            self.picture.fill_solid(&square, color)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_domain_has_a_picture_of_its_own() {
        let picture = Picture::of_domain(1);
        assert!(picture == Picture::of_domain(1));
        assert!(picture != Picture::of_domain(2));
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
