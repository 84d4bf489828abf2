# SPDX-License-Identifier: GPL-2.0
"""Pictures of the screen: what the emulator writes (PPM) and what a person looks at (PNG)."""

import re
import struct
import zlib
from dataclasses import dataclass

PPM_HEADER = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")
PNG_MARK = b"\x89PNG\r\n\x1a\n"
# Eight bits for each of red, green and blue; not interlaced.
PNG_KIND = (8, 2, 0, 0, 0)
BYTES_PER_PIXEL = 3


@dataclass(frozen=True)
class Picture:
    """Pixels row by row, each as red, green and blue."""
    width: int
    height: int
    pixels: bytes

    def __post_init__(self):
        if len(self.pixels) != self.width * self.height * BYTES_PER_PIXEL:
            raise ValueError(f"{len(self.pixels)} bytes are not a picture of "
                             f"{self.width}x{self.height}")

    def pixel(self, x, y):
        start = (y * self.width + x) * BYTES_PER_PIXEL
        return tuple(self.pixels[start:start + BYTES_PER_PIXEL])

    def colors(self):
        """How many different colours there are."""
        steps = range(0, len(self.pixels), BYTES_PER_PIXEL)
        return len({self.pixels[at:at + BYTES_PER_PIXEL] for at in steps})


def read_ppm(data):
    """The picture in the bytes of a binary PPM file."""
    header = PPM_HEADER.match(data)
    if not header:
        raise ValueError("not a binary PPM file of eight bits")
    return Picture(int(header[1]), int(header[2]), data[header.end():])


def to_png(picture):
    """The bytes of a PNG file."""
    # Each row starts with the number of its filter: none.
    row = picture.width * BYTES_PER_PIXEL
    rows = b"".join(b"\0" + picture.pixels[start:start + row]
                    for start in range(0, len(picture.pixels), row))
    header = struct.pack(">II5B", picture.width, picture.height, *PNG_KIND)
    return PNG_MARK + b"".join((_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)),
                                _chunk(b"IEND", b"")))


def read_png(data):
    """The picture in a PNG file of the kind that to_png writes."""
    if data[:len(PNG_MARK)] != PNG_MARK:
        raise ValueError("not a PNG file")
    chunks = dict(_chunks(data[len(PNG_MARK):]))
    width, height, *kind = struct.unpack(">II5B", chunks[b"IHDR"])
    if tuple(kind) != PNG_KIND:
        raise ValueError("a PNG file of another kind")
    rows = zlib.decompress(chunks[b"IDAT"])
    length = 1 + width * BYTES_PER_PIXEL
    if any(rows[::length]):
        raise ValueError("a PNG file with filters")
    pixels = b"".join(rows[start + 1:start + length] for start in range(0, len(rows), length))
    return Picture(width, height, pixels)


def difference(picture, expected):
    """What a person would say of how PICTURE differs from EXPECTED; None if it does not."""
    sizes = [(one.width, one.height) for one in (picture, expected)]
    if sizes[0] != sizes[1]:
        return "it is {}x{}, not {}x{}".format(*sizes[0], *sizes[1])
    if picture.pixels == expected.pixels:
        return None
    places = [(x, y) for y in range(picture.height) for x in range(picture.width)
              if picture.pixel(x, y) != expected.pixel(x, y)]
    x, y = places[0]
    return (f"{len(places)} of {picture.width * picture.height} pixels differ, the first at "
            f"{x},{y}: {picture.pixel(x, y)}, not {expected.pixel(x, y)}; "
            f"{picture.colors()} colours, not {expected.colors()}")


def _chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _chunks(data):
    while data:
        length, name = struct.unpack_from(">I4s", data)
        body, check = data[8:8 + length], data[8 + length:12 + length]
        if struct.pack(">I", zlib.crc32(name + body)) != check:
            raise ValueError(f"the PNG file's {name.decode()} is broken")
        yield name, body
        data = data[12 + length:]
