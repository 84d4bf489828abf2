# SPDX-License-Identifier: GPL-2.0
"""The addresses at which the guests of a boot have the driver's module.

A module is loaded to any page, to another one in another guest or after it was unloaded. Its code
tells where: a place counts if the blocks there have the module's bytes.
"""

import bisect
import collections
from collections.abc import Iterable, Iterator, Sequence

from xenrust.object_file import Function, ObjectFile

from .blocks import Block

PAGE = 4096
# Shorter pieces of code occur in any module.
SIGNIFICANT = 8
# Bytes of significant blocks that prove a place, at most, and as a part of small code. Functions of
# two modules can begin alike, but few of these lie at one distance from each other.
PROOF = 600
PROOF_OF_SMALL = 4
# Share of a block's bytes that must be the module's. The kernel has replaced some instructions.
LIKE = 0.6


class Image:
    """Code of a module as the kernel loads it: the sections that stay, or those of its start."""

    def __init__(self, file: ObjectFile, initial: bool) -> None:
        self._code = bytearray()
        known = bytearray()
        places = {}
        for number, section in enumerate(file.sections):
            if section.has_code and section.name.startswith(".init") == initial:
                padding = -len(self._code) % max(section.alignment, 1)
                start = len(self._code) + padding
                places[number] = start
                self._code += bytes(padding) + file.content(section)
                known += bytes(padding) + b"\1" * section.size
                for offset, size in file.relocated(number):
                    known[start + offset:start + offset + size] = bytes(size)
        self._known = bytes(known)
        self.functions = [Function(one.name, 0, places[one.section] + one.start, one.size)
                          for one in file.functions if one.section in places]

    def __len__(self) -> int:
        return len(self._code)

    def likeness(self, offset: int, code: bytes) -> tuple[int, int]:
        """Numbers of the bytes of CODE that are those at OFFSET, and of all that can be compared:
        relocations change the others."""
        if offset < 0 or offset + len(code) > len(self._code):
            return 0, len(code)
        known = self._known[offset:offset + len(code)]
        here = self._code[offset:offset + len(code)]
        equal = sum(is_known and a == b for is_known, a, b in zip(known, here, code))
        return equal, sum(known)

    def places(self, blocks: Iterable[Block]) -> list[int]:
        """Addresses of this image in the guests that have run BLOCKS."""
        votes: collections.Counter[int] = collections.Counter()
        for block in blocks:
            for offset in range(block.start % PAGE, len(self._code), PAGE):
                equal, comparable = self.likeness(offset, block.code)
                if equal == comparable >= SIGNIFICANT:
                    votes[block.start - offset] += equal
        proof = min(PROOF, len(self._code) // PROOF_OF_SMALL)
        return [place for place, bytes_ in votes.items() if bytes_ >= proof]

    def blocks_at(self, place: int, blocks: Iterable[Block]) -> Iterator[Block]:
        """Those BLOCKS that are this code at PLACE, by their offsets in it."""
        for block in blocks:
            if place <= block.start < place + len(self._code):
                equal, comparable = self.likeness(block.start - place, block.code)
                if comparable and equal >= LIKE * comparable:
                    yield Block(block.start - place, block.code)


def module_blocks(file: ObjectFile, boots: Iterable[Sequence[Block] | set[Block]]
                  ) -> Iterator[tuple[Function, Block]]:
    """Each block of a module's FILE that was run in any of the BOOTS, with its function."""
    images = [Image(file, initial) for initial in (False, True)]
    for blocks in boots:
        for image in images:
            finder = Finder(image.functions)
            for place in image.places(blocks):
                yield from finder.find(image.blocks_at(place, blocks))


class Finder:
    """Finds functions by addresses."""

    def __init__(self, functions: Iterable[Function]) -> None:
        self._functions = sorted(functions, key=lambda one: one.start)
        self._starts = [one.start for one in self._functions]

    def find(self, blocks: Iterable[Block]) -> Iterator[tuple[Function, Block]]:
        """Each of BLOCKS that begins in a function, with that."""
        for block in blocks:
            index = bisect.bisect_right(self._starts, block.start) - 1
            if index >= 0:
                function = self._functions[index]
                if block.start < function.start + function.size:
                    yield function, block
