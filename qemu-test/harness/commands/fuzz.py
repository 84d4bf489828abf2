# SPDX-License-Identifier: GPL-2.0
"""Fuzz the grant device: random system calls, whose results a model predicts."""

import argparse
import collections
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from xenrust import kernel

from .. import limits
from ..choices import GuestType
from ..engine import boot_job, needs, resources, run
from ..engine.context import Context
from ..engine.job import Job, Load, Need, Reporter
from ..engine.registry import Suite
from ..limits import BootLimits
from ..results import Test
from ..spec import Spec

EPILOG = """\
One boot of a dom0 and of a domU of the same type. gntdev-fuzz runs in dom0: it executes operations
on /dev/xen/gntdev and on mappings of it, while dom0 and the domU grant pages and end grants, and
compares each result with those that the documentation allows. With several threads, which use the
same files and mappings, it checks only that each call returns an error that this call may return,
because their order is not known. A process that crashes, resources that are left behind and reports
in the log are failures as well.

A seed names the operations. They are divided into rounds of 1,000, each with a seed of its own: the
next one has the next seed. A round is a test; the first failure ends the run, after the program has
made the round shorter until each of its operations is needed. Without threads the domU ends with
each hundredth seed amid the operations, and another one is started.

When the emulator dies, the next boot goes on with the round that it died in. A round in which it
dies each time fails.

The exit status is 0 if nothing failed.
"""

PROGRAM = "gntdev-fuzz"
# Operations of a round.
ROUND = 1000
# Operations that the slowest kernel executes in a second of the emulator.
SLOWEST = 20
# Beside the operations: the boot, and making a failing round shorter.
EXTRA_SECONDS = 3600.0
DOMU_MEMORY = 256

TALLY = re.compile(r"^succeeded/refused/nothing to do: (.*)$", re.M)
ENTRY = re.compile(r"([\w-]+) (\d+)/(\d+)/(\d+),")


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

    def plan(context: Context) -> list[Job]:
        return [Fuzz(_boot(context, seed, options))]

    # The report prints it as the description of the suite.
    plan.__doc__ = (f"make fuzz SEED={seed} OPERATIONS={options.operations} "
                    f"THREADS={options.threads} DOM0={options.dom0} CONFIG={options.config}")
    is_well = run.run([Suite("fuzz", (), 0, plan)], Context(options.config),
                      resources.of_host(None))
    return 0 if is_well else 1


def _boot(context: Context, seed: int, options: argparse.Namespace) -> boot_job.BootJob:
    guests = GuestType(options.dom0)
    total = EXTRA_SECONDS + options.operations / SLOWEST
    spec = Spec(
        dom0=guests, domu=guests, add=needs.additions(context, PROGRAM),
        domu_add=needs.additions(context, "granter"), domu_run="granter", domu_mem=DOMU_MEMORY,
        limits=BootLimits(total, limits.SILENCE_OF_SUITE))
    command = (f"{PROGRAM} --seed {seed} --operations {options.operations} "
               f"--threads {options.threads}")
    job = boot_job.boot_job(context, spec, {PROGRAM: command}, total)
    rounds = -(-options.operations // ROUND)
    # A death in every second round is not seen on any machine; the limit only ends a long run in
    # which none makes any headway.
    return replace(job, most_deaths=boot_job.MOST_DEATHS + rounds // 2)


@dataclass(frozen=True)
class Fuzz:
    """The boot of the fuzzer, whose results are summed up."""
    boot: boot_job.BootJob
    title: str = ""

    @property
    def needs(self) -> tuple[Need, ...]:
        """Those of the boot."""
        return self.boot.needs

    @property
    def load(self) -> Load:
        """That of the boot."""
        return self.boot.load

    def run(self, reporter: Reporter) -> list[Test]:
        """Run, print the table of operations, and return all results."""
        tests = self.boot.run(reporter)
        for line in table(tests):
            reporter.note(line)
        return tests


def table(tests: Iterable[Test]) -> list[str]:
    """Numbers of operations, by name and result, in all rounds that passed."""
    sums: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for test in tests:
        for tally in TALLY.findall(test.reason):
            for name, *numbers in ENTRY.findall(tally):
                sums[name].update(dict(enumerate(map(int, numbers))))
    lines = [f"{'operation':24} {'succeeded':>9} {'refused':>9} {'nothing to do':>13}"]
    everything: collections.Counter[int] = collections.Counter()
    for name, one in sorted(sums.items()):
        lines.append(_line(name, one))
        everything.update(one)
    return [*lines, _line(f"all {everything.total()}", everything)] if sums else []


def _line(name: str, numbers: collections.Counter[int]) -> str:
    return f"{name:24} {numbers[0]:9} {numbers[1]:9} {numbers[2]:13}"
