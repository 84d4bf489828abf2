# SPDX-License-Identifier: GPL-2.0
"""Run the tests; the last line counts them."""

import argparse
import textwrap

from .. import guest_kernel, suites
from ..choices import Driver, EventOperations
from ..engine import registry, resources, run
from ..engine.context import Context
from ..engine.registry import SuiteList, suites_of

EPILOG = """\
Suites run side by side, as many as the host carries; their output comes whole and in the order of
the lists. The log of every boot is searched for complaints of the kernels and of Xen; each counts
as a failed test. The exit status is 0 only if no test failed.
"""

WIDTH = 99


def main() -> int:
    """Run what the command line says and return the exit status."""
    registry.load(suites)
    parser = argparse.ArgumentParser(
        prog="qemu-test/run-suites", description=__doc__, epilog=f"{_lists()}\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--config", choices=[*map(str, SuiteList)], default="dom0",
                       help="one of the lists below, most of them named after their kernel "
                            "(default: %(default)s)")
    which.add_argument("--kernel", metavar="KERNEL",
                       help="the list debian on a certain kernel of Debian's, named as "
                            "qemu-test/boot --help says; --config debian takes the newest one")
    parser.add_argument("--suite", action="append", default=[], metavar="NAME",
                        help="run only this suite; may be given several times (default: all)")
    parser.add_argument("--jobs", type=_positive, metavar="N",
                        help="keep N threads of the host busy; two carry one usual boot "
                             "(default: the number of its processors)")
    parser.add_argument("--gntdev", choices=[*map(str, Driver)], default="rust",
                        help="the driver to test; c is Linux's own, to compare with "
                             "(default: %(default)s)")
    parser.add_argument("--events", choices=("rust", "c"), default="rust",
                        help="the FIFO port operations of event channels in all guests; c are "
                             "Linux's own, to compare with (default: %(default)s)")
    options = parser.parse_args()
    name = SuiteList(options.config)
    kernel = name.kernel
    if options.kernel:
        name, kernel = SuiteList.DEBIAN, guest_kernel.debian_config(options.kernel)
    known = suites_of(name)
    for wanted in options.suite:
        if wanted not in known:
            parser.error(f"there is no suite {wanted} of {name}, only {', '.join(known)}")
    chosen = [one for one in known.values() if not options.suite or one.name in options.suite]
    context = Context(kernel, Driver(options.gntdev), EventOperations(options.events),
                      name.processor)
    is_well = run.run(chosen, context, resources.of_host(options.jobs))
    return 0 if is_well else 1


def _lists() -> str:
    """The lists and their suites, as the registry has them."""
    lines = []
    for name in SuiteList:
        lines.append(f"{name.heading} ({name}):")
        for one in suites_of(name).values():
            lines += textwrap.wrap(one.doc, WIDTH, initial_indent=f"  {one.name:<11} ",
                                   subsequent_indent=" " * 14)
    return "\n".join(lines) + "\n"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number
