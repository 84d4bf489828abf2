# SPDX-License-Identifier: GPL-2.0
"""The table of the measurements of gntdev-bench."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from xenrust.failure import Failure

# Goal of each line: the greatest ratio.
GOALS = {
    "copy-from-64": 0.6, "copy-to-64": 0.6,
    "copy-from-4096": 0.9, "copy-to-4096": 0.9,
    "map-unmap-1": 1.0, "map-unmap-64": 1.0, "map-unmap-512": 1.0,
    "import-8": 1.0, "import-64": 1.0, "import-512": 1.0,
    "export-8": 1.0, "export-64": 1.0, "export-512": 1.0,
    "event-round-trip": 1.0,
    "event-storm-1": 1.0, "event-storm-64": 1.0, "event-storm-4096": 1.0,
}
TITLES = {
    "copy-from-64": "copy 64 B from a grant, 256 in a call, each",
    "copy-to-64": "copy 64 B to a grant, 256 in a call, each",
    "copy-from-64-scattered": "the same from, each to a page of its own",
    "copy-from-4096": "copy 4096 B from a grant, 256 in a call, each",
    "copy-to-4096": "copy 4096 B to a grant, 256 in a call, each",
    "map-unmap-1": "map and unmap 1 page",
    "map-unmap-64": "map and unmap 64 pages",
    "map-unmap-512": "map and unmap 512 pages",
    "insert-among-100": "insert among 100 regions",
    "insert-among-4000": "insert among 4000 regions",
    "import-8": "import and release a dma-buf of 8 pages",
    "import-64": "import and release a dma-buf of 64 pages",
    "import-512": "import and release a dma-buf of 512 pages",
    "export-8": "export and release 8 pages as a dma-buf",
    "export-64": "export and release 64 pages as a dma-buf",
    "export-512": "export and release 512 pages as a dma-buf",
    "display-dma-buf": "show a frame of 300 pages as a dma-buf",
    "display-kept": "show a frame of 300 pages as a dma-buf kept from before",
    "display-copy": "copy a frame of 300 pages and show it",
    "event-round-trip": "an event from a thread to another and one back",
    "event-storm-1": "events on 1 port, each",
    "event-storm-64": "events on 64 ports, each",
    "event-storm-4096": "events on 4096 ports, each",
    "event-idle-median": "an event to a domU and one back, another domU idle: median",
    "event-idle-99": "99th percentile",
    "event-idle-most": "maximum",
    "event-busy-median": "the same, the other domU busy without events: median",
    "event-busy-99": "99th percentile",
    "event-busy-most": "maximum",
    "event-attack-median": "the same, the other domU floods dom0: median",
    "event-attack-99": "99th percentile",
    "event-attack-most": "maximum",
}
# The lines of each section.
DISPLAY = ZERO_COPY, KEPT, COPY = ("display-dma-buf", "display-kept", "display-copy")
STORMS = ("event-storm-1", "event-storm-64", "event-storm-4096")
EVENTS = ("event-round-trip", *STORMS)
IDLE = ("event-idle-median", "event-idle-99", "event-idle-most")
BUSY = ("event-busy-median", "event-busy-99", "event-busy-most")
ATTACK = ("event-attack-median", "event-attack-99", "event-attack-most")
ATTACKED = (*IDLE, *BUSY, *ATTACK)
DRIVERS = tuple(name for name in TITLES if name not in DISPLAY + EVENTS + ATTACKED)
EXPORTS = ("export-8", "export-64", "export-512")
FEW, MANY, GROWTH_GOAL = "insert-among-100", "insert-among-4000", 1.5


@dataclass
class Measured:
    """The times by line and driver, in the order of the rounds, in nanoseconds."""
    samples: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    inside: dict[str, float] = field(default_factory=dict)
    # Reasons for lines without samples, and for those without samples of the C driver.
    skipped: dict[str, str] = field(default_factory=dict)
    only_rust: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The lines that were measured, in the order of the table."""
        return [line for line in TITLES if (line, "Rust") in self.samples]

    def ratios(self, line: str) -> list[float]:
        """The ratios of both drivers by rounds."""
        return [rust / c for rust, c in zip(self.samples[line, "Rust"], self.samples[line, "C"])]

    def compared(self, line: str, other: str, driver: str) -> list[float]:
        """The ratios of two lines, measured with the same driver."""
        return [one / two for one, two in zip(self.samples[line, driver],
                                              self.samples[other, driver])]


def parse(text: str, names: Sequence[str] = DRIVERS) -> Measured:
    """Read the program's output, of the lines NAMES, from one boot or from several one after the
    other; anything that does not belong there is a failure."""
    measured = Measured()
    inside: dict[str, list[float]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        try:
            match words:
                case ["sample", _, ("C" | "Rust") as driver, name, time] if name in names:
                    measured.samples.setdefault((name, driver), []).append(float(time))
                case ["inside", name, time] if name in names:
                    inside.setdefault(name, []).append(float(time))
                case ["skipped", name, *reason] if name in names:
                    measured.skipped[name] = " ".join(reason)
                case ["only-rust", name, *reason] if name in names:
                    measured.only_rust[name] = " ".join(reason)
                case ["note", *_]:
                    pass
                case _:
                    raise ValueError
        except ValueError as error:
            raise Failure(f"line {number} of gntdev-bench's output is not a measurement: "
                          f"{line!r}") from error
    measured.inside = {name: statistics.median(times) for name, times in inside.items()}
    _check_counts(measured, names)
    return measured


def _check_counts(measured: Measured, names: Sequence[str]) -> None:
    """Each line was measured as often as all others, by all drivers that can do it."""
    rounds = max((len(times) for times in measured.samples.values()), default=0)
    for name in names:
        counts = [len(measured.samples.get((name, driver), ())) for driver in ("C", "Rust")]
        without_c = (*measured.skipped, *measured.only_rust, *DISPLAY)
        wanted = [0 if name in without_c else rounds, 0 if name in measured.skipped else rounds]
        if not rounds or counts != wanted:
            raise Failure(f"gntdev-bench measured {name} {counts[0]} times with the C driver and "
                          f"{counts[1]} times with the Rust driver")


def table(measured: Measured) -> list[str]:
    """The table as lines of text."""
    rows: list[tuple[str, ...]] = [
        ("", "C", "Rust", "inside", "ratio", "least..greatest", "goal", ""),
        *(_row(measured, name) for name in measured.lines())]
    if (MANY, "C") in measured.samples:
        rows.append(("among 4000 by among 100, C driver", "", "", "",
                     *_ratio(measured.compared(MANY, FEW, "C"), None, None, 0)))
        rows.append(("among 4000 by among 100, Rust driver", "", "", "",
                     *_ratio(measured.compared(MANY, FEW, "Rust"), GROWTH_GOAL, None, 0)))
    if (ATTACK[0], "Rust") in measured.samples:
        rows += [(f"flooded by {other}, {value}, {driver}", "", "", "",
                  *_ratio(measured.compared(attack, base, driver), None, None, 0))
                 for other, bases in (("idle", IDLE), ("busy", BUSY))
                 for value, attack, base in zip(("median", "99th percentile", "maximum"), ATTACK,
                                                bases)
                 for driver in ("C", "Rust")]
    if (COPY, "Rust") in measured.samples:
        for name, way in (("as a dma-buf", ZERO_COPY), ("as a dma-buf kept from before", KEPT)):
            rows.append((f"{name} by copied, Rust driver", "", "", "",
                         *_ratio(measured.compared(way, COPY, "Rust"), None, None, 0)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0])]
                       + [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:])]
                       + [row[-1]]).rstrip()
             for row in rows]
    lines += [f"{TITLES[name]}: not measured, {reason}"
              for name, reason in measured.skipped.items()]
    lines += [f"{TITLES[name]}: Rust driver only, {reason}"
              for name, reason in measured.only_rust.items()]
    return lines + [_rates(measured, name) for name in STORMS if name in measured.lines()]


def _rates(measured: Measured, name: str) -> str:
    """Events a second by the times of a storm."""
    rates = [f"{1e9 / statistics.median(measured.samples[name, driver]):,.0f} {driver}"
             for driver in ("C", "Rust")]
    return f"{TITLES[name].removesuffix(', each')}: events per second {', '.join(rates)}"


def _row(measured: Measured, name: str) -> tuple[str, ...]:
    rust = statistics.median(measured.samples[name, "Rust"])
    inside = measured.inside.get(name)
    cells = (_time(rust), _time(inside) if inside else "-")
    if (name, "C") not in measured.samples:
        return (TITLES[name], "-", *cells, "-", "-", "-", "")
    c = statistics.median(measured.samples[name, "C"])
    return (TITLES[name], _time(c), *cells,
            *_ratio(measured.ratios(name), GOALS.get(name), inside, rust))


def _ratio(ratios: list[float], goal: float | None, inside: float | None,
           rust: float) -> tuple[str, str, str, str]:
    """The last four cells of a row: ratio, spread, goal, and a remark if the goal is missed."""
    median = statistics.median(ratios)
    remark = ""
    if goal is not None and median > goal:
        remark = "missed"
        if inside is not None:
            remark += f"; {inside / rust:.0%} of the Rust driver's time is inside the hypercall"
    return (f"{median:.3f}", f"{min(ratios):.3f}..{max(ratios):.3f}",
            f"{goal:.1f}" if goal is not None else "-", remark)


def _time(nanoseconds: float) -> str:
    for unit, size in (("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.1f} {unit}"
    return f"{nanoseconds:.0f} ns"
