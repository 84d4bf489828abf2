# SPDX-License-Identifier: GPL-2.0
"""A search for complaints of the kernels and of the hypervisor in the log of a boot.

Usage: python3 -m harness.log_check LOG [BASELINE]

Prints each report that the baseline does not explain and exits with status 1 if there is one.

A baseline names the reports of the core kernel itself on the debug kernel. Each of its lines is
"TITLE @@ FRAME", two regular expressions: a report is explained only if its title matches one and
a function in its call trace matches the other, and never when our own code is in the trace, unless
all that it did was to call the handler of an interrupt.
"""

import pathlib
import re
import sys
from collections.abc import Sequence
from typing import NamedTuple

from . import boot_log
from .boot_log import Line, Lines, Source

# The titles under which kernels report that something is wrong. WARNING and BUG cover most of
# lockdep's, KFENCE's and the allocators' reports; the rest go by names of their own.
KERNEL_TITLES = re.compile("|".join((
    r"\bWARNING: ",
    r"\bBUG: ",
    r"\bBUG [\w.:-]+ \(",
    r"\bkernel BUG at ",
    r"\bOops: ",
    r"^(?:\[ *[\d.]+\] )?(?:Oops|general protection fault)",
    r"\bKernel panic - ",
    r"\bINFO: (?!lockdep is turned off)",
    r"\bunreferenced object 0x",
    r"\bkmemleak: \d+ new suspected memory leaks",
    r"\bUBSAN: ",
    r"\brefcount_t: ",
    r"\blist_(?:add|del) corruption",
    r"\bpage allocation failure",
    r"\bSLUB: Unable to allocate",
    r"\bDEBUG_LOCKS_WARN_ON",
    r"\bTrying to vfree\(\) ",
)))

# Messages of the hypervisor when a domain did what it must never do, or Xen itself failed.
XEN_TITLES = re.compile("|".join((
    r"Xen (?:BUG|WARN) at ",
    r"Assertion '",
    r"Panic on CPU",
    r"domain_crash called from",
    r"(?:Domain|Hardware Dom)\S* .*crashed",
    r"Triple fault",
    r"Bad type in validate_page",
    r"Unhandled: vec ",
    r"lost event \(too many queue changes\)",
    r"has no FIFO event channel control block",
)))

CALL_TRACE = re.compile(r"\bCall Trace:")
REPORT_END = re.compile(r"\[ end (?:trace|Kernel panic)|</TASK>")
LONGEST_REPORT = 120
# The guest's init prints the reports of kmemleak with this in front of each line.
LEAK = "kmemleak: "
# A frame of our code: of the module, whose mere name in the list of loaded ones says nothing, or of
# the event channels' crate, which is in the kernel itself.
OURS = re.compile(r"\+0x[0-9a-f]+/0x[0-9a-f]+ \[xen_gntdev_rust|"
                  r"\b_R\w*11fifo_events\w*\+0x[0-9a-f]+/0x[0-9a-f]+")
FRAME = re.compile(r"^(?:\[ *[\d.]+\])? +[\w.]+\+0x[0-9a-f]+/0x[0-9a-f]+")
# Everything in an interrupt happens under these two frames.
HANDLER = re.compile(r"\bhandle_irq_for_port\+")
HANDS_ON = re.compile(r"\b_R\w*11fifo_events\w*13handle_events\w*\+")


class Report(NamedTuple):
    """A complaint in a log."""
    source: Source
    # Of its first line, since the emulator's start.
    seconds: float
    title: str
    lines: list[str]


class Known(NamedTuple):
    """An entry of a baseline."""
    title: re.Pattern[str]
    frame: re.Pattern[str]


def is_title(line: Line) -> bool:
    """True if a report of a kernel or of the hypervisor begins with LINE."""
    titles = XEN_TITLES if line.source == Source.XEN else KERNEL_TITLES
    return titles.search(line.text) is not None


def find(lines: Lines) -> list[Report]:
    """All reports in the log LINES, in order."""
    reports: list[Report] = []
    for source in (Source.XEN, Source.DOM0, Source.DOMU):
        reports += _find_in([line for line in lines if line.source == source], source)
    return sorted(reports, key=lambda report: report.seconds)


def unexplained(lines: Lines, baseline: Sequence[Known] = ()) -> list[Report]:
    """The reports that no entry of BASELINE explains."""
    return [report for report in find(lines)
            if not any(explains(known, report) for known in baseline)]


def explains(known: Known, report: Report) -> bool:
    """True if the baseline entry KNOWN accounts for REPORT."""
    frames = report.lines[1:]
    return (known.title.search(report.title) is not None
            and any(known.frame.search(frame) for frame in frames)
            and not _is_in_ours(report))


def _is_in_ours(report: Report) -> bool:
    """True if code of ours is in the trace of REPORT with a part of its own: that it called the
    handler of an interrupt is none."""
    caller = ""
    for line in report.lines:
        if OURS.search(line) and not (HANDS_ON.search(line) and HANDLER.search(caller)):
            return True
        if FRAME.match(line):
            caller = line
    return False


def read_baseline(path: pathlib.Path) -> list[Known]:
    """The entries of a baseline file; "#" starts a comment."""
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        title, separator, frame = line.partition(" @@ ")
        if not separator:
            raise ValueError(f"{path}:{number}: no ' @@ ' between title and frame")
        entries.append(Known(re.compile(title), re.compile(frame)))
    return entries


def _find_in(lines: Sequence[Line], source: Source) -> list[Report]:
    titles = XEN_TITLES if source == Source.XEN else KERNEL_TITLES
    texts = [line.text for line in lines]
    reports = []
    index = 0
    while index < len(lines):
        # A call trace that no title has announced is a report too.
        if titles.search(texts[index]) or CALL_TRACE.search(texts[index]):
            end = _end_of_report(texts, index, titles)
            reports.append(Report(source, lines[index].seconds, _without_time(texts[index]),
                                  texts[index:end]))
            index = end
        else:
            index += 1
    return reports


def _end_of_report(texts: list[str], start: int, titles: re.Pattern[str]) -> int:
    """The index after the report's last line. The next title always starts a report of its own:
    a known one must not swallow an unknown one."""
    leak = LEAK in texts[start]
    for index in range(start + 1, min(start + LONGEST_REPORT, len(texts))):
        if titles.search(texts[index]) or (leak and LEAK not in texts[index]):
            return index
        if REPORT_END.search(texts[index]):
            return index + 1
    return min(start + LONGEST_REPORT, len(texts))


def _without_time(text: str) -> str:
    return re.sub(r"^\[ *[\d.]+\](?:\[ *[TC]\d+\])? ?", "", text).strip()


def main() -> None:
    """Print the reports in the log that the command line names."""
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    baseline = read_baseline(pathlib.Path(sys.argv[2])) if len(sys.argv) == 3 else []
    reports = unexplained(boot_log.read(pathlib.Path(sys.argv[1])), baseline)
    for report in reports:
        print(f"{report.seconds:.3f} {report.source}: {report.title}")
        print("".join(f"    {line}\n" for line in report.lines), end="")
    print(f"{len(reports)} unexplained reports in {sys.argv[1]}")
    sys.exit(1 if reports else 0)


if __name__ == "__main__":
    main()
