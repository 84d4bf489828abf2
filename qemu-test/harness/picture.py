# SPDX-License-Identifier: GPL-2.0
"""Comparison of pictures: the screen's, as the emulator writes it, and the one that is expected.

Both are binary PPM files, a short header and the pixels, because a program can compare their bytes.
For a person the emulator writes a PNG file besides.
"""

import re
from dataclasses import dataclass

PPM_HEADER = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")
BYTES_PER_PIXEL = 3


@dataclass(frozen=True)
class Picture:
    """Pixels row by row, each as red, green and blue."""
    width: int
    height: int
    pixels: bytes

    def __post_init__(self) -> None:
        if len(self.pixels) != self.width * self.height * BYTES_PER_PIXEL:
            raise ValueError(f"{len(self.pixels)} bytes are not a picture of "
                             f"{self.width}x{self.height}")

    def colors(self) -> list[bytes]:
        """The colour of each pixel."""
        return [self.pixels[at:at + BYTES_PER_PIXEL]
                for at in range(0, len(self.pixels), BYTES_PER_PIXEL)]


def read_ppm(data: bytes) -> Picture:
    """The picture in the bytes of a binary PPM file."""
    header = PPM_HEADER.match(data)
    if not header:
        raise ValueError("not a binary PPM file of eight bits")
    return Picture(int(header[1]), int(header[2]), data[header.end():])


def difference(picture: Picture, expected: Picture) -> str | None:
    """Description of the difference of PICTURE from EXPECTED; None if there is none."""
    if picture == expected:
        return None
    if (picture.width, picture.height) != (expected.width, expected.height):
        return (f"it is {picture.width}x{picture.height}, not {expected.width}x{expected.height}")
    ours, theirs = picture.colors(), expected.colors()
    places = [place for place, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1]]
    y, x = divmod(places[0], picture.width)
    return (f"{len(places)} of {len(ours)} pixels differ, the first at {x},{y}: "
            f"{tuple(ours[places[0]])}, not {tuple(theirs[places[0]])}; "
            f"{len(set(ours))} colours, not {len(set(theirs))}")
