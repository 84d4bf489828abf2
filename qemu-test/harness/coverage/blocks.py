# SPDX-License-Identifier: GPL-2.0
"""Blocks of instructions that the emulator has translated.

The emulator translates a block when a processor is about to run it for the first time, and again
when it has discarded it. A block goes from its first instruction straight to its last one. It is
taken as run to its end; only a fault in its middle keeps a processor from that.
"""

import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SUFFIX = ".blocks"

SEPARATOR = re.compile(r"-{8,}")
BEGIN = re.compile(r"IN: .*|IN:")
# Entries and exits of virtual machines, which the emulator prints by the same option.
VIRTUALIZATION = re.compile(r"vmrun! .*|vmexit\(.*\)!")
# Bytes of an instruction; those that do not fit in the line follow in lines without a text.
INSTRUCTION = re.compile(r"0x([0-9a-f]+): +((?:[0-9a-f]{2}(?: |$))+).*")


class Block(NamedTuple):
    """One block by its address, and its code."""
    start: int
    code: bytes

    @property
    def end(self) -> int:
        """Address behind it."""
        return self.start + len(self.code)


class Reader:
    """Collects the different blocks in the lines that the emulator prints with `-d in_asm`."""

    def __init__(self) -> None:
        self._found: set[Block] = set()
        self._start: int | None = None
        self._code = bytearray()
        self._inside = False

    def take(self, line: str) -> bool:
        """Take a LINE of the emulator's. False if it is not about blocks."""
        if BEGIN.fullmatch(line):
            self._finish()
            self._inside = True
            return True
        if SEPARATOR.fullmatch(line):
            self._finish()
            return True
        instruction = INSTRUCTION.fullmatch(line) if self._inside else None
        if instruction:
            if self._start is None:
                self._start = int(instruction[1], 16)
            self._code += bytes.fromhex(instruction[2])
            return True
        if VIRTUALIZATION.fullmatch(line):
            self._finish()
            return True
        was_inside = self._inside
        self._finish()
        # An empty line ends a block.
        return was_inside and not line.strip()

    def blocks(self) -> set[Block]:
        """The blocks so far."""
        self._finish()
        return self._found

    def _finish(self) -> None:
        if self._start is not None:
            self._found.add(Block(self._start, bytes(self._code)))
        self._start, self._inside = None, False
        self._code.clear()


def write(path: pathlib.Path, blocks: Iterable[Block]) -> None:
    """Append BLOCKS to the file PATH."""
    with open(path, "a", encoding="ascii") as stream:
        stream.writelines(f"{block.start:x} {block.code.hex()}\n" for block in sorted(blocks))


def read(folder: pathlib.Path) -> Iterator[set[Block]]:
    """The blocks of each boot that has left a file in FOLDER."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with open(path, encoding="ascii") as stream:
            yield {Block(int(start, 16), bytes.fromhex(code))
                   for start, code in (line.split() for line in stream)}
