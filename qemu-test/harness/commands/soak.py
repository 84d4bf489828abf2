# SPDX-License-Identifier: GPL-2.0
"""Run everything at the same time for hours, and look for what it leaves behind."""

import argparse
import secrets
import signal
import sys
import time
from collections.abc import Callable

from xenrust import build_root, guest, kernel
from xenrust.cache import Cache

from .. import guest_image, guest_kernel, limits, log_check
from ..boot import boot
from ..boot_log import Splitter
from ..choices import GuestType
from ..engine import log_results, needs
from ..engine.context import Context
from ..limits import BootLimits
from ..spec import Spec
from ..suites.clients import AGENT, WITHOUT_COPY

EPILOG = """\
One boot of a dom0 and of a PV domU, which lives all the time. gntdev-soak runs in dom0, in rounds.
In each round do at the same time, each with a domU of its own: the fuzzer, with one thread and
with several; rules of gntdev and of dma-bufs about threads and about killed processes; a storm of
events; streams of libxenvchan; a disk of QEMU's, a domU that dies amid I/O, one that is saved and
restored, and some that are destroyed while their pages are mapped. After each round all domUs but
the first are gone, and dom0 reads what is in use, by the counters of the kernel, of Xen and of
xenstore. At the end it prints a table of the work and one of these figures.

It fails if a program fails, if a figure at the end is not that of the start, within a bound that
the table states, or if the log has a report.

The hours are those of the host. When they are over, or this program gets signal USR1, nothing more
is begun. Machine and domUs have a clock of instructions, which stands still while the host does
other work: no limit of a guest's kernel, of the toolstack or of a test ends then.

A PVH dom0 runs by emulated hardware virtualization. If the emulator dies, the run starts anew,
which is said, at most twice.

The exit status is 0 if nothing failed.
"""

PROGRAMS = ("gntdev-soak", "gntdev-fuzz", "gntdev-domu", "dmabuf-domu", "event-storm",
            "client-vchan", "vchan-end", "client-saved", "client-death")
DOMU_PROGRAMS = ("agent", "granter", "event-peer", "vchan-end", "disk-check")

# Dom0, and five domUs of which one runs twice while it is saved and restored.
MEMORY = 3072
# The list of all grants in use is long.
XEN_CMDLINE = "conring_size=256k"

# Beside the hours: the start, the rest of the last round, and the waits at the end.
EXTRA_SECONDS = 7200.0


def main() -> int:
    """Run what the command line says and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="qemu-test/soak", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2.0, metavar="H",
                        help="hours in which rounds begin, maybe a fraction (default: %(default)s)")
    parser.add_argument("--seed", type=int, metavar="S",
                        help="name of the random choices (default: a random one, which is printed)")
    parser.add_argument("--dom0", choices=("pv", "pvh"), default="pv",
                        help="type of dom0 (default: %(default)s)")
    parser.add_argument("--config", choices=kernel.BOOTED, default="dom0",
                        help="kernel, one of qemu-test/configs (default: %(default)s)")
    parser.add_argument("--plant", action="store_true",
                        help="leave a grant mapped in round 1, which must be reported")
    parser.add_argument("--lane", metavar="NAME", default="",
                        help="only this part of a round: fuzzer, grants, events, streams or "
                             "domains (default: all)")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 16) if options.seed is None else options.seed
    if not options.hours > 0 or not 0 <= seed < 1 << 16:
        parser.error("there are more than 0 hours, and the seed is a number of 16 bits")

    cache = Cache()
    build_root.ensure(cache)
    guest_kernel.ensure(cache, options.config)
    guest.ensure(cache)
    context = Context(options.config)
    spec = make_spec(context, seed, options)
    _say(f"{spec.describe()}, {options.hours:g} hours, seed {seed}")
    hours = Hours(options.hours)
    signal.signal(signal.SIGUSR1, lambda number, frame: hours.end())
    result = boot(spec, on_output=hours.show, on_progress=_say, is_enough=hours.are_over)
    reports = log_check.unexplained(result.lines, log_results.baseline(context))
    for report in reports:
        _say(f"{report.source}: {report.title}")
    for death in result.deaths:
        _say(f"the emulator died and the run was started anew: {death.reason}; log {death.log}")
    _say(f"{result.reason}; {len(reports)} reports in the log; {result.seconds:.0f} s; "
         f"log {result.log}")
    return 1 if result.status or reports else 0


def make_spec(context: Context, seed: int, options: argparse.Namespace) -> Spec:
    """The boot of the OPTIONS."""
    dom0 = GuestType(options.dom0)
    library = needs.program_folder(context) / WITHOUT_COPY
    return Spec(
        dom0=dom0, domu=GuestType.PV, config=context.config, mem=MEMORY, xen_cmdline=XEN_CMDLINE,
        instruction_clock=True, end_at_death=True,
        run=f"gntdev-soak --seed {seed}{' --plant' if options.plant else ''}"
            f"{f' --lane {options.lane}' if options.lane else ''}",
        add=(*needs.additions(context, *PROGRAMS),
             *((str(context.cache.build_root / path), f"/{path}") for path in guest_image.QEMU),
             (str(library), f"/usr/local/lib/{WITHOUT_COPY}")),
        domu_run=AGENT, domu_add=needs.additions(context, *DOMU_PROGRAMS),
        limits=BootLimits(EXTRA_SECONDS + options.hours * 3600.0, limits.SILENCE_OF_SUITE))


class Hours:
    """The hours of a run, from its first output on, which goes to standard output with the time in
    front of lines about a round. NOW returns the host's seconds."""

    def __init__(self, hours: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = hours * 3600.0
        self._now = now
        self._begin: float | None = None
        self._splitter = Splitter()

    def show(self, chunk: bytes) -> None:
        """Take the next bytes of the output."""
        for line in self._splitter.lines(chunk):
            time_passed = self._time()
            print(f"{time_passed} {line}" if line.startswith("round ") else line, flush=True)

    def are_over(self) -> bool:
        """True if no further round is to begin."""
        return self._begin is not None and self._now() - self._begin >= self._seconds

    def end(self) -> None:
        """Have them be over."""
        self._seconds = 0.0

    def _time(self) -> str:
        if self._begin is None:
            self._begin = self._now()
        seconds = int(self._now() - self._begin)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _say(text: str) -> None:
    """Print a message for the person who waits."""
    print(f"soak: {text}", file=sys.stderr, flush=True)
