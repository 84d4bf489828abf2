# SPDX-License-Identifier: GPL-2.0
"""Lines and conditional jumps of the sources that have run.

A line counts as covered if any instruction that was made from it has run, in any copy: compilers
put one function into several others. A call of a function that was put in its place is made of the
instructions of that. A jump has two ways on; a way counts as covered if the jump has run and a
block begins where it leads. Another jump may lead there as well.
"""

import collections
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xenrust.object_file import Function

from .blocks import Block
from .line_table import Jump, Row

# Sources of the drivers, but for the bindings, which are generated. Those of KUnit are in no object
# that is measured.
SOURCE = re.compile(
    r".*/(drivers/xen/(?:gntdev|events|rust)/(?:\w+/)*(?!\w+_generated)\w+\.(?:rs|c))")


@dataclass
class Coverage:
    """Coverage of one source file."""
    # Lines that have instructions, and whether any of these has run.
    lines: dict[int, bool] = field(default_factory=dict)
    ways: int = 0
    covered_ways: int = 0

    @property
    def covered(self) -> int:
        """Number of covered lines."""
        return sum(self.lines.values())

    def uncovered(self) -> list[int]:
        """The lines that have not run, in order."""
        return sorted(line for line, is_covered in self.lines.items() if not is_covered)


class Code:
    """Code of one object with its line table, and the instructions of it that have run."""

    def __init__(self, rows: Iterable[Row], jumps: Iterable[Jump],
                 functions: Iterable[Function]) -> None:
        self._rows = list(rows)
        self._jumps = list(jumps)
        self._functions = {one.name: one for one in functions}
        self._ran: set[int] = set()
        self._entered: set[int] = set()

    def run(self, function: Function, block: Block) -> None:
        """Count BLOCK as run, which lies in FUNCTION wherever that is loaded. Functions of other
        objects do not matter."""
        mine = self._functions.get(function.name)
        if mine is None or mine.size != function.size:
            return
        start = mine.start + block.start - function.start
        self._entered.add(start)
        self._ran.update(range(start, min(start + len(block.code), mine.start + mine.size)))

    def add_to(self, files: dict[str, Coverage]) -> None:
        """Add this code to the coverage of source files by their paths in the kernel."""
        places: dict[int, str] = {}
        inside = {address for one in self._functions.values()
                  for address in range(one.start, one.start + one.size)}
        for row in self._rows:
            if row.addresses.start not in inside:
                continue
            has_run = not self._ran.isdisjoint(row.addresses)
            for file, line in row.sources:
                source = SOURCE.fullmatch(file)
                if source:
                    lines = files.setdefault(source[1], Coverage()).lines
                    lines[line] = lines.get(line, False) or has_run
                    for address in row.addresses:
                        places.setdefault(address, source[1])
        for jump in self._jumps:
            if jump.address in places:
                one = files[places[jump.address]]
                one.ways += 2
                if jump.address in self._ran:
                    one.covered_ways += ((jump.next in self._entered)
                                         + (jump.target in self._entered))


def total(files: Mapping[str, Coverage]) -> collections.Counter[str]:
    """Sums over FILES: lines, covered, ways, covered_ways."""
    sums: collections.Counter[str] = collections.Counter()
    for one in files.values():
        sums.update(lines=len(one.lines), covered=one.covered, ways=one.ways,
                    covered_ways=one.covered_ways)
    return sums
