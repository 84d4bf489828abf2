# SPDX-License-Identifier: GPL-2.0
"""The proof that the debug kernel's log is read."""

import functools
import re

from .. import limits, log_check
from ..boot import boot
from ..choices import Driver
from ..engine import boot_job, needs
from ..engine.context import Context
from ..engine.job import FunctionJob, Job, Reporter
from ..engine.log_results import baseline
from ..engine.registry import SuiteList, suite
from ..results import Test, check
from ..spec import Spec

FAULT = re.compile(r"possible circular locking dependency")


@suite("catch", order=130, lists=(SuiteList.LOCKDEP,))
def catch(context: Context) -> list[Job]:
    """The log check finds the fault of the C driver, whose first mapping can deadlock. It proves
    that such a fault of the Rust driver would be found."""
    spec = Spec(gntdev=Driver.C, config=context.config, run="gntdev-self 'one page'",
                add=needs.additions(context, "gntdev-self"), limits=limits.suite(context.family))
    return [FunctionJob(functools.partial(run, context, spec),
                        needs=(needs.programs(context), needs.kernel(context)),
                        load=boot_job.load_of(spec, 40))]


def run(context: Context, spec: Spec, reporter: Reporter) -> list[Test]:
    """Boot SPEC, which has the fault, and look for it."""
    result = boot(spec, on_progress=reporter.progress)
    reports = log_check.unexplained(result.lines, baseline(context))
    found = any(FAULT.search(line) for report in reports for line in report.lines)
    test = check("the log check catches the C driver's lock order", found,
                 f"none of {len(reports)} reports is that; log {result.log}")
    reporter.test(test)
    return [test]
