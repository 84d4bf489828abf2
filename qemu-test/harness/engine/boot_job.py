# SPDX-License-Identifier: GPL-2.0
"""A boot that runs suites of the guests' programs, one after the other in dom0.

When the emulator dies, the next boot goes on with the test that it died in; the results before
stay. No test is tried more than DEATHS_OF_A_TEST times, so one that kills the machine by itself
fails.

The log has the resources in use before and after each suite. The suite ACCOUNTING comes after all
others and fails if the driver has more of anything than before the first. Only suites that leave
something by intention come after it, and check that themselves.
"""

import collections
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from .. import architecture, ktap
from ..architecture.base import DEFAULT_MEMORY, Architecture
from ..boot import Result, boot
from ..boot_log import Lines, Source, Splitter
from ..choices import EventOperations
from ..ending import BootEnd
from ..results import FAILED, Test
from ..spec import Spec
from . import needs
from .context import Context
from .job import Load, Need, Reporter
from .log_results import check_log

# Most deaths of the emulator in one test, and in all suites of a boot. On a busy machine it dies
# about once a minute under a PVH dom0; a fault of ours in one test would kill it each time.
DEATHS_OF_A_TEST = 8
MOST_DEATHS = 60

# Memory of the emulator besides the machine's, in MiB: mostly translated code.
EMULATOR_MEMORY = 512

# The program that states the resources in use, the file with those at the start, and the suite that
# compares them.
STATE = "xen-accounting"
KEPT = "/run/xen-accounting"
ACCOUNTING = "accounting"

# Begin of a line of a suite's program that belongs to the results.
FIGURES = "# figures: "

# Processors of the host that each thread of an emulator keeps busy. A thread waits now and then
# for a device or for time to pass. With these figures two host processors run one machine of two
# processors at a time. The processors of a machine wait for each other in loops, so they take
# several times the processor time if their threads do not all run at once. Two machines with an
# instruction clock fit beside it, in the background: they keep no other from its start, and have
# both processors when nothing else is left.
BUSY_THREAD = 0.625
BUSY_INSTRUCTION_CLOCK = 0.375


def load_of(spec: Spec, seconds: float) -> Load:
    """Share of the host that a boot takes, which lasts SECONDS. The emulator has a thread for each
    processor of the machine; an instruction clock leaves it one."""
    threads = BUSY_INSTRUCTION_CLOCK if spec.instruction_clock else spec.smp * BUSY_THREAD
    return Load(threads, (spec.mem or DEFAULT_MEMORY) + EMULATOR_MEMORY, seconds)


@dataclass(frozen=True)
class BootJob:
    """One boot. COMMANDS are shell commands by the names of their suites, SETUP runs before.
    Those of UNACCOUNTED run last and may leave something behind."""
    context: Context
    spec: Spec
    commands: Mapping[str, str]
    load: Load
    unaccounted: Mapping[str, str] = dataclasses.field(default_factory=dict)
    setup: str = "true"
    title: str = ""
    most_deaths: int = MOST_DEATHS

    @property
    def needs(self) -> tuple[Need, ...]:
        """The programs, and the kernel unless a system has it installed."""
        programs = needs.programs(self.context)
        return (programs,) if self.spec.system else (programs, needs.kernel(self.context))

    def run(self, reporter: Reporter) -> list[Test]:
        """Run and return all results."""
        output = ktap.Output(self._all_commands)
        result = self._boot_until_done(output, reporter)
        tests = output.finish()
        faults = [test for test in tests if test.outcome == FAILED
                  and test.name.endswith(" as a whole")]
        if result.status:
            tests.append(Test("the machine", FAILED, f"{result.reason}; log {result.log}"))
            faults.append(tests[-1])
        for test in faults:
            reporter.test(test)
        return tests + check_log(self.context, result, reporter)

    @property
    def _all_commands(self) -> dict[str, str]:
        """The commands of all suites, in order."""
        return {**self.commands, ACCOUNTING: f"{STATE} compare {KEPT}", **self.unaccounted}

    def _boot_until_done(self, output: ktap.Output, reporter: Reporter) -> Result:
        """Boot, and again after each death of the emulator; feed OUTPUT. Returns the last boot."""
        deaths: collections.Counter[tuple[str, int]] = collections.Counter()
        processor = architecture.of(self.spec.processor)
        while True:
            spec = dataclasses.replace(
                self.spec, end_at_death=True,
                run=script(self.setup, self._all_commands, output.left()))
            live = _Live(reporter, self._all_commands)
            result = boot(spec, on_output=live.take, on_progress=reporter.progress, retries=0)
            reporter.note(f"{spec.describe()}: {result.seconds:.0f} s, log {result.log}")
            for line in results_before_death(processor, result.lines, result.stdout):
                output.feed(line)
            if result.end != BootEnd.EMULATOR or not output.left():
                if deaths:
                    reporter.note(f"{deaths.total()} deaths of the emulator; {len(deaths)} tests "
                                  "were tried more than once")
                return result
            suite, first = output.left()[0]
            deaths[suite, first] += 1
            if deaths[suite, first] == DEATHS_OF_A_TEST or deaths.total() == self.most_deaths:
                return result
            reporter.note(f"{result.reason}, not a failure of a test: going on with test {first} "
                          f"of {suite}, try {deaths[suite, first] + 1} of at most "
                          f"{DEATHS_OF_A_TEST}")
            output.resume()


def boot_job(context: Context, spec: Spec, commands: Mapping[str, str], seconds: float,
             setup: str = "true", title: str = "", events: EventOperations | None = None,
             unaccounted: Mapping[str, str] | None = None) -> BootJob:
    """The boot of SPEC with the kernel and the drivers of CONTEXT, which takes about SECONDS;
    EVENTS overrides the port operations of CONTEXT."""
    spec = dataclasses.replace(spec, gntdev=context.gntdev, config=context.config,
                               processor=context.processor,
                               events=events or context.events,
                               in_background=spec.instruction_clock, watched=context.watched,
                               add=(*spec.add, *needs.additions(context, STATE)))
    return BootJob(context, spec, commands, load_of(spec, seconds), unaccounted or {}, setup, title)


def script(setup: str, commands: Mapping[str, str], left: list[tuple[str, int]]) -> str:
    """Script that dom0 runs: the suites that are LEFT, each from its first test without a
    result."""
    steps = [f"echo '{ktap.begin_mark(name)}'; FIRST_CASE={first} {commands[name]}; "
             f"echo \"{ktap.end_mark(name, '$?')}\"; {STATE}" for name, first in left]
    return "\n".join([setup, f"{STATE} keep {KEPT}", *steps, "exit 0"])


def results_before_death(processor: Architecture, lines: Lines, stdout: bytes) -> list[str]:
    """The whole lines of the command's output in a log that came before a domain died of the
    emulator, if one did: a test that fails after its domain died says nothing."""
    death = next((number for number, line in enumerate(lines)
                  if processor.is_guest_fault(line.text)), len(lines))
    before = [line.text for line in lines[:death] if line.source == Source.RUN]
    everything = sum(line.source == Source.RUN for line in lines)
    if before and len(before) == everything and not stdout.endswith(b"\n"):
        before.pop()
    return before


class _Live:
    """Shows the results of a boot while it goes on."""

    def __init__(self, reporter: Reporter, suites: Mapping[str, str]) -> None:
        self._reporter = reporter
        self._splitter = Splitter()
        self._output = ktap.Output(suites)

    def take(self, chunk: bytes) -> None:
        """Take the next bytes of the command's output."""
        for line in self._splitter.lines(chunk):
            if line.startswith(FIGURES):
                self._reporter.note(line.removeprefix(FIGURES).rstrip())
            test = self._output.feed(line)
            if test:
                self._reporter.test(test)
