# SPDX-License-Identifier: GPL-2.0
"""The unit tests of the scripts and of the harness."""

import functools
import sys

from xenrust.cache import REPOSITORY

from .. import children, ktap, limits
from ..engine.context import Context
from ..engine.job import FunctionJob, Job, Reporter
from ..engine.registry import SuiteList, suite
from ..results import Test

FOLDERS = ("scripts/tests", "qemu-test/tests")
# The runner's module is found from the folder that it is started in.
STARTED_IN = REPOSITORY / "qemu-test"


@suite("host", order=10, lists=(SuiteList.DOM0, SuiteList.QUICK))
def host(_context: Context) -> list[Job]:
    """Unit tests of the scripts and of the harness, on this machine's Python."""
    return [FunctionJob(functools.partial(unit_tests, folder), title=folder)
            for folder in FOLDERS]


def unit_tests(folder: str, reporter: Reporter) -> list[Test]:
    """Results of the unit tests in FOLDER."""
    results = ktap.Suite(folder)

    def feed(line: str) -> None:
        test = results.feed(line)
        if test:
            reporter.test(test)

    completed = children.run(
        ["env", "--chdir", STARTED_IN, sys.executable, "-m", "harness.unittest_ktap",
         REPOSITORY / folder], limits.SHORT_COMMAND, on_line=feed)
    return results.finish(completed.status)
