# SPDX-License-Identifier: GPL-2.0
"""Results of the search for complaints in the log of a boot."""

from xenrust.cache import REPOSITORY

from .. import log_check
from ..boot import Result
from ..results import FAILED, PASSED, Test
from .context import Context
from .job import Reporter

CONFIGS = REPOSITORY / "qemu-test" / "configs"
LONGEST_REPORT = 40


def baseline(context: Context) -> list[log_check.Known]:
    """Reports of the kernel of CONTEXT that are known."""
    path = CONFIGS / f"{context.family}-baseline"
    return log_check.read_baseline(path) if path.exists() else []


def check_log(context: Context, result: Result, reporter: Reporter) -> list[Test]:
    """One result for each complaint in the log of a boot, or one that there is none."""
    reports = log_check.unexplained(result.lines, baseline(context))
    tests = [Test(f"{report.source}: {report.title}", FAILED,
                  "\n".join(report.lines[:LONGEST_REPORT]) + f"\nlog {result.log}")
             for report in reports]
    if not tests:
        tests = [Test("no complaint in the logs of the kernels and Xen", PASSED)]
    for test in tests:
        reporter.test(test)
    return tests
