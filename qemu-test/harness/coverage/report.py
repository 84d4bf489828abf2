# SPDX-License-Identifier: GPL-2.0
"""The table of coverage, and the lines that have not run."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from .lines import Coverage, total

TOTAL = "all"
# Lines of context around those that have not run.
CONTEXT = 3


def table(files: Mapping[str, Coverage]) -> Iterator[str]:
    """Lines of the table of FILES, by their paths; the last one is the sum."""
    sums = total(files)
    width = max(map(len, files), default=0)
    yield f"{'':{width}} {'lines':>6} {'covered':>8} {'%':>6} {'ways':>6} {'covered':>8} {'%':>6}"
    for path, one in sorted(files.items()):
        yield _row(width, path, len(one.lines), one.covered, one.ways, one.covered_ways)
    yield _row(width, TOTAL, sums["lines"], sums["covered"], sums["ways"], sums["covered_ways"])


def _row(width: int, name: str, lines: int, covered: int, ways: int, covered_ways: int) -> str:
    return (f"{name:{width}} {lines:6} {covered:8} {_share(covered, lines)} {ways:6} "
            f"{covered_ways:8} {_share(covered_ways, ways)}")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:6.1f}" if whole else f"{'-':>6}"


def uncovered(path: str, one: Coverage, source: Sequence[str]) -> Iterator[str]:
    """Lines of text that show the uncovered lines of the file PATH, whose lines are SOURCE. A sign
    before each tells that it has run (+) or not (-)."""
    missing = one.uncovered()
    if not missing:
        return
    yield f"{path}: {len(missing)} of {len(one.lines)} lines have not run"
    shown = sorted({near for line in missing for near in range(line - CONTEXT, line + CONTEXT + 1)
                    if 1 <= near <= len(source)})
    for _, group in itertools.groupby(enumerate(shown), lambda pair: pair[1] - pair[0]):
        for _, number in group:
            ran = one.lines.get(number)
            sign = " " if ran is None else "+" if ran else "-"
            yield f"{sign} {number:4} {source[number - 1]}".rstrip()
        yield ""
