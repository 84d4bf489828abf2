# SPDX-License-Identifier: GPL-2.0
"""Fuzz the grant device: random system calls, whose results a model predicts."""

import argparse
import secrets
import sys

from xenrust import build_root, guest, kernel
from xenrust.cache import Cache

from .. import guest_kernel, limits, log_check
from ..boot import boot
from ..choices import GuestType
from ..engine import log_results
from ..engine.context import Context
from ..limits import BootLimits
from ..spec import Spec

EPILOG = """\
One boot of a dom0 and of a domU of the same type. gntdev-fuzz runs in dom0: it executes operations
on /dev/xen/gntdev and on mappings of it, while dom0 and the domU grant pages and end grants, and
compares each result with those that the documentation allows. With several threads, which use the
same files and mappings, it checks only that each call returns an error that this call may return,
because their order is not known. A process that crashes, resources that are left behind and reports
in the log are failures as well.

A seed names the operations. They are divided into rounds, each with a seed of its own; the message
about a failure names that seed, and the program makes the round shorter until each of its
operations is needed. Without threads the domU ends with each hundredth seed amid the operations,
and another one is started.

The exit status is 0 if nothing failed.
"""

# Operations that the slowest kernel executes in a second of the emulator.
SLOWEST = 20
# Beside the operations: the boot, and making a failing round shorter.
EXTRA_SECONDS = 3600.0
DOMU_MEMORY = 256


def main() -> int:
    """Run what the command line says and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="qemu-test/fuzz", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, metavar="S",
                        help="name of the operations (default: a random one, which is printed)")
    parser.add_argument("--operations", type=int, default=20000, metavar="N",
                        help="number of operations (default: %(default)s)")
    parser.add_argument("--dom0", choices=("pv", "pvh"), default="pv",
                        help="type of both domains (default: %(default)s)")
    parser.add_argument("--config", choices=kernel.BOOTED, default="dom0",
                        help="kernel, one of qemu-test/configs (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, metavar="T",
                        help="number of threads (default: %(default)s)")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    if not 0 <= seed < 1 << 64 or min(options.operations, options.threads) < 1:
        parser.error("the seed is a number of 64 bits; there is at least 1 operation and 1 thread")

    cache = Cache()
    build_root.ensure(cache)
    guest_kernel.ensure(cache, options.config)
    programs = guest.ensure(cache)
    spec = _spec(str(programs / "gntdev-fuzz"), str(programs / "granter"), seed, options)
    _say(f"{spec.describe()}; to repeat it: make fuzz SEED={seed} "
         f"OPERATIONS={options.operations} THREADS={options.threads} DOM0={options.dom0} "
         f"CONFIG={options.config}")
    result = boot(spec, on_output=_show, on_progress=_say)
    reports = log_check.unexplained(result.lines, log_results.baseline(Context(options.config)))
    for report in reports:
        _say(f"{report.source}: {report.title}")
    _say(f"{result.reason}; {len(reports)} reports in the log; {result.seconds:.0f} s; "
         f"log {result.log}")
    return 1 if result.status or reports else 0


def _spec(program: str, granter: str, seed: int, options: argparse.Namespace) -> Spec:
    guests = GuestType(options.dom0)
    total = EXTRA_SECONDS + options.operations / SLOWEST
    return Spec(
        dom0=guests, domu=guests, config=options.config, add=((program, None),),
        run=f"gntdev-fuzz --seed {seed} --operations {options.operations} "
            f"--threads {options.threads}",
        domu_add=((granter, None),), domu_run="granter", domu_mem=DOMU_MEMORY,
        limits=BootLimits(total, limits.SILENCE_OF_SUITE))


def _show(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _say(text: str) -> None:
    """Print a message for the person who waits."""
    print(f"fuzz: {text}", file=sys.stderr, flush=True)
