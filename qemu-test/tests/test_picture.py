# SPDX-License-Identifier: GPL-2.0
"""Pictures: the file format, and the difference of two."""

import unittest

from harness import picture

SMALL = picture.Picture(3, 2, bytes(range(18)))


class Files(unittest.TestCase):
    def test_ppm(self):
        self.assertEqual(picture.read_ppm(b"P6\n3 2\n255\n" + SMALL.pixels), SMALL)

    def test_pixels_that_look_like_blanks_are_pixels(self):
        pixels = b"\n" * 18
        self.assertEqual(picture.read_ppm(b"P6\n3 2\n255\n" + pixels).pixels, pixels)

    def test_what_is_no_whole_ppm_is_refused(self):
        for data in (b"", b"P5\n3 2\n255\n" + SMALL.pixels, b"P6\n3 2\n255\n" + b"\0" * 17):
            with self.assertRaises(ValueError):
                picture.read_ppm(data)


class Difference(unittest.TestCase):
    def test_equal(self):
        self.assertIsNone(picture.difference(SMALL, picture.Picture(3, 2, SMALL.pixels)))

    def test_another_size(self):
        self.assertEqual(picture.difference(picture.Picture(2, 3, SMALL.pixels), SMALL),
                         "it is 2x3, not 3x2")

    def test_one_pixel(self):
        pixels = bytearray(SMALL.pixels)
        pixels[15] = 99
        found = picture.difference(picture.Picture(3, 2, bytes(pixels)), SMALL)
        self.assertIn("1 of 6 pixels differ, the first at 2,1: (99, 16, 17), not (15, 16, 17)",
                      found)

    def test_a_black_screen(self):
        found = picture.difference(picture.Picture(3, 2, bytes(18)), SMALL)
        self.assertIn("1 colours, not 6", found)
