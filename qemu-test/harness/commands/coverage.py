# SPDX-License-Identifier: GPL-2.0
"""Run suites, and print the lines of drivers/xen that they cover."""

import argparse
import pathlib

from xenrust import build_root, kernel, line_tables
from xenrust.cache import REPOSITORY, Cache
from xenrust.processor import Processor
from xenrust.progress import say

from .. import architecture, suites
from ..coverage import blocks, report
from ..coverage.measure import Measure
from ..engine import registry, resources, run
from ..engine.context import Context
from ..engine.registry import SuiteList, suites_of
from ..spec import Watched

EPILOG = """\
The emulator prints each block of the driver's code when a processor is about to run it for the
first time. The line tables tell the lines that it was made from; they belong to objects that are
compiled once more and must have the same code as the kernel's. Nothing is instrumented.

A line counts as covered if any of its instructions has run, also in a domU. A way is one of the two
ways on from a conditional jump. The module and the event channels' port operations are counted with
all their source files, but for those of KUnit.

The file that the last line names shows the uncovered lines. The exit status is 0 only if no test
failed.
"""

CONFIG = "dom0"
# The other suites run the same code in other ways.
DEFAULT = ("pv", "pvh", "bounce", "bounce-pvh", "full", "events", "clients", "samples")


def main() -> int:
    """Run what the command line says and return the exit status."""
    registry.load(suites)
    known = suites_of(SuiteList(CONFIG))
    parser = argparse.ArgumentParser(
        prog="qemu-test/coverage", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", default=[], choices=sorted(known),
                        metavar="NAME",
                        help="run only this suite of `make test`; may be given several times "
                             f"(default: {', '.join(DEFAULT)})")
    parser.add_argument("--add", action="store_true",
                        help="count the suites that were run before as well, if the kernel is the "
                             "same")
    parser.add_argument("--no-run", action="store_true",
                        help="run nothing; print the coverage by the suites that were run before")
    parser.add_argument("--jobs", type=int, metavar="N",
                        help="keep N threads of the host busy (default: the number of its "
                             "processors)")
    options = parser.parse_args()
    if options.jobs is not None and options.jobs < 1:
        parser.error("there is at least 1 job")
    if options.no_run and (options.suite or options.add):
        parser.error("--no-run prints what is there; it takes neither --suite nor --add")

    cache = Cache()
    build_root.ensure(cache)
    kernel.ensure(cache, CONFIG)
    folder = cache.root / "coverage"
    # Blocks of another kernel would be taken for other lines.
    results = folder / line_tables.digest(cache, CONFIG)
    measure = Measure(cache, CONFIG, line_tables.ensure(cache, CONFIG, folder / "objects"))
    results.mkdir(parents=True, exist_ok=True)
    is_well = True
    if not options.no_run:
        if not options.add:
            for old in folder.glob(f"*/*{blocks.SUFFIX}"):
                old.unlink()
        area = architecture.of(Processor.X86_64).module_area
        watched = Watched(measure.places(area), str(results))
        chosen = [known[name] for name in options.suite or DEFAULT]
        is_well = run.run(sorted(chosen, key=lambda one: one.order),
                          Context(CONFIG, watched=watched), resources.of_host(options.jobs))
    print_coverage(measure, results, folder / "uncovered.txt")
    return 0 if is_well else 1


def print_coverage(measure: Measure, results: pathlib.Path, details: pathlib.Path) -> None:
    """Print the table of the boots that have left files in RESULTS, and write DETAILS."""
    files = measure.of(results)
    print("\n" + "\n".join(report.table(files)), flush=True)
    with open(details, "w", encoding="utf-8") as stream:
        for path, one in sorted(files.items()):
            source = (REPOSITORY / path).read_text(encoding="utf-8").splitlines()
            stream.writelines(f"{line}\n" for line in report.uncovered(path, one, source))
    say(f"the uncovered lines: {details}")
