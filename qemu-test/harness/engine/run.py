# SPDX-License-Identifier: GPL-2.0
"""A run of suites: their jobs and the build steps that these need, as tasks of one scheduler."""

import functools
from collections.abc import Sequence

from xenrust import build_root
from xenrust.failure import Failure

from ..results import Test
from .context import Context
from .job import Job, Load, Need, Reporter
from .registry import Suite
from .report import Report, SuiteRun
from .resources import Resources
from .scheduler import Scheduler, Task

# A compiler run has as many threads as the host has processors, and is there for a moment or for
# many minutes. Counted as one, it leaves room for suites that need nothing built.
BUILD_LOAD = Load(1.0, 2048)


def plan(suites: Sequence[Suite], context: Context) -> tuple[list[SuiteRun], list[Task]]:
    """The SUITES with their tasks, and the build steps that come before these."""
    steps: dict[Need, Task] = {}
    runs = []
    for suite in suites:
        tasks = []
        for job in suite.plan(context):
            title = f"{suite.name} {job.title}".strip()
            tasks.append(Task(title, functools.partial(_run_job, job), job.load,
                              [_step(need, steps) for need in job.needs]))
        runs.append(SuiteRun(suite, tasks))
    return runs, list(steps.values())


def _step(need: Need, steps: dict[Need, Task]) -> Task:
    """The task of NEED among the STEPS, which is added if it is not there, and those before it."""
    if need not in steps:
        after = [_step(other, steps) for other in need.after]
        steps[need] = Task(need.name, functools.partial(_build, need), BUILD_LOAD, after,
                           is_build_step=True)
    return steps[need]


def run(suites: Sequence[Suite], context: Context, resources: Resources) -> bool:
    """Run the SUITES and report them. True if tests passed and none failed."""
    runs, steps = plan(suites, context)
    if steps:
        # It may ask for a password, which it can only in this process.
        build_root.ensure(context.cache)
    tasks = steps + [task for one in runs for task in one.tasks]
    report = Report(runs)
    report.begin()
    Scheduler(resources, report).run(tasks)
    return report.summarize()


def _run_job(job: Job, reporter: Reporter) -> list[Test]:
    """Run a job of a suite. Nothing counts one that ends without results, so it has failed."""
    tests = job.run(reporter)
    if not tests:
        raise Failure("it has no results")
    return tests


def _build(need: Need, _reporter: Reporter) -> list[Test]:
    """Do a build step, which has no results."""
    need.ensure()
    return []
