# SPDX-License-Identifier: GPL-2.0
"""The unit tests of the guests' programs, and the event channels' model."""

import functools
import pathlib
import re
from collections.abc import Callable

from xenrust import build_root, guest

from .. import children, limits
from ..engine import needs
from ..engine.context import Context
from ..engine.job import FunctionJob, Job, Load, Reporter
from ..engine.registry import SuiteList, suite
from ..results import FAILED, PASSED, SKIPPED, Test, has_failed

BEGIN = re.compile(r"running (\d+) tests?")
RESULT = re.compile(r"test (\S+)(?: - .*)? \.\.\. (ok|FAILED|ignored)(?:, (.*))?")
# Lines by which tests of the event channels' state machine say how much they tried.
EXTENT = re.compile(r"(explored|found in interleaving|compared) \d+\b.*")
OUTCOMES = {"ok": PASSED, "FAILED": FAILED, "ignored": SKIPPED}


@suite("programs", order=20, lists=(SuiteList.DOM0, SuiteList.QUICK))
def programs(context: Context) -> list[Job]:
    """Unit tests of the guests' programs, and the event channels' state machine in all
    interleavings."""
    # The state machine, which is tested with the programs, takes longest.
    return [FunctionJob(functools.partial(cargo_tests, context, workspace), title=workspace.name,
                        needs=(needs.program_tests(context),),
                        load=Load(seconds=120 if workspace == guest.TEST_PROGRAMS else 20))
            for workspace in guest.WORKSPACES]


def cargo_tests(context: Context, workspace: pathlib.Path, reporter: Reporter) -> list[Test]:
    """Results of the unit tests of WORKSPACE, in the build root."""
    # The tests are built. Running them needs no lock: their files are never written in place.
    argv = ["cargo", "test", "--release", "--locked", "--", "--show-output"]
    tested = children.run(build_root.command(context.cache, argv, cwd=workspace), limits.CARGO)
    log = context.cache.log / f"guest-tests-{workspace.name}.log"
    log.write_text(tested.text, encoding="utf-8")
    for line in extents(tested.text):
        reporter.note(line)
    return read_cargo_tests(tested.text, tested.status, f"log {log}", reporter.test)


def extents(output: str) -> list[str]:
    """Lines in the output of `cargo test` that say how much the tests tried, and the sum."""
    lines = [line for line in output.splitlines() if EXTENT.fullmatch(line)]
    explored = sum(int(line.split()[1]) for line in lines if line.startswith("explored"))
    if explored:
        lines.append(f"explored {explored} interleavings in all")
    return lines


def read_cargo_tests(output: str, status: int, hint: str,
                     on_test: Callable[[Test], object]) -> list[Test]:
    """The results in the output of `cargo test`, which ended with STATUS."""
    tests, planned = [], 0
    for line in output.splitlines():
        begin = BEGIN.fullmatch(line)
        result = RESULT.fullmatch(line)
        if begin:
            planned += int(begin[1])
        elif result:
            test = Test(result[1], OUTCOMES[result[2]], result[3] or "")
            tests.append(test)
            on_test(test)
    if not planned or planned != len(tests) or has_failed(tests) != (status != 0):
        tests.append(Test("the programs' tests as a whole", FAILED,
                          f"{planned} tests announced, {len(tests)} results, cargo's status "
                          f"{status}; {hint}"))
        on_test(tests[-1])
    return tests
