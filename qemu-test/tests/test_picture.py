# SPDX-License-Identifier: GPL-2.0
"""Pictures: the file formats, and how two are told apart."""

import pathlib
import struct
import sys
import unittest
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import picture  # noqa: E402

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

    def test_png_round_trip(self):
        self.assertEqual(picture.read_png(picture.to_png(SMALL)), SMALL)

    def test_png_by_the_format_s_description(self):
        data = picture.to_png(SMALL)
        self.assertEqual(data[:16], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
        self.assertEqual(struct.unpack(">II", data[16:24]), (3, 2))
        start = data.index(b"IDAT") + 4
        rows = zlib.decompressobj().decompress(data[start:])
        self.assertEqual(rows, b"\0" + SMALL.pixels[:9] + b"\0" + SMALL.pixels[9:])
        self.assertEqual(data[-12:], b"\0\0\0\0IEND\xaeB`\x82")

    def test_a_broken_png_is_refused(self):
        data = bytearray(picture.to_png(SMALL))
        data[20] ^= 1
        with self.assertRaises(ValueError):
            picture.read_png(bytes(data))


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


if __name__ == "__main__":
    unittest.main()
