# SPDX-License-Identifier: GPL-2.0
"""Line tables as llvm-dwarfdump and llvm-symbolizer print them, and conditional jumps as
llvm-objdump does."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xenrust.failure import Failure

ROW = re.compile(r"0x([0-9a-f]{16}) +\d.*?(end_sequence)?")
FRAME = re.compile(r"(.+):(\d+):\d+")

INSTRUCTION = re.compile(r" *([0-9a-f]+):\s+(.*)")
JUMP = re.compile(r"j(?!mp)\w+\s+0x([0-9a-f]+)\b.*")


@dataclass(frozen=True)
class Row:
    """Instructions that were made from the same source."""
    addresses: range
    # Files and lines: the innermost function first, then each place that it was inlined to.
    sources: tuple[tuple[str, int], ...]


def spans(text: str) -> Iterator[range]:
    """Addresses of each row in the output TEXT of `llvm-dwarfdump --debug-line`."""
    before: int | None = None
    for line in text.splitlines():
        row = ROW.fullmatch(line)
        if row:
            address = int(row[1], 16)
            if before is not None and before < address:
                yield range(before, address)
            before = None if row[2] else address


def rows(addresses: Sequence[range], text: str) -> Iterator[Row]:
    """The rows with these ADDRESSES. TEXT is the output of `llvm-symbolizer --inlines
    --functions=none` for the first one of each. Compilers add code without a line, which is line 0;
    it has the lines that it was inlined to."""
    stacks = text.strip().split("\n\n")
    if len(stacks) != len(addresses):
        raise Failure(f"{len(addresses)} rows of a line table have {len(stacks)} places")
    for here, stack in zip(addresses, stacks):
        frames = (FRAME.fullmatch(line) for line in stack.splitlines())
        yield Row(here, tuple((posixpath.normpath(frame[1]), int(frame[2]))
                              for frame in frames if frame and int(frame[2])))


@dataclass(frozen=True)
class Jump:
    """A conditional jump, the address behind it, and its target."""
    address: int
    next: int
    target: int


def jumps(disassembly: str) -> Iterator[Jump]:
    """The conditional jumps in the output of `llvm-objdump -d --no-show-raw-insn`."""
    open_jump: tuple[int, int] | None = None
    for line in disassembly.splitlines():
        instruction = INSTRUCTION.fullmatch(line)
        if not instruction:
            continue
        address = int(instruction[1], 16)
        if open_jump:
            yield Jump(open_jump[0], address, open_jump[1])
        jump = JUMP.fullmatch(instruction[2])
        open_jump = (address, int(jump[1], 16)) if jump else None
