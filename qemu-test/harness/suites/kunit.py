# SPDX-License-Identifier: GPL-2.0
"""The KUnit suites of the kernel code."""

import functools
import json
import pathlib
import re
import tempfile
from collections.abc import Iterator
from typing import Any

from xenrust import build_root, kernel_source

from .. import children, limits
from ..boot import Result, boot
from ..boot_log import Lines, Source
from ..engine import boot_job, needs
from ..engine.context import Context
from ..engine.job import FunctionJob, Job, Reporter
from ..engine.log_results import check_log
from ..engine.registry import SuiteList, suite
from ..results import FAILED, PASSED, SKIPPED, Test, has_failed
from ..spec import Spec

MODULES = ("xen_gntdev_rust_kunit", "xen_evtchn_fifo_rust_kunit")
OUTCOMES = {"PASS": PASSED, "SKIP": SKIPPED}

# Begin of the report of a module. Those of the suites in it are indented.
REPORT = re.compile(r"^(?=(?:\[ *\d+\.\d+\] )?KTAP version \d)", re.M)


@suite("kunit", order=30,
       lists=(SuiteList.DOM0, SuiteList.QUICK, SuiteList.LOCKDEP, SuiteList.FAULT,
              SuiteList.KASAN))
def kunit(context: Context) -> list[Job]:
    """KUnit suites of the kernel code, on the kernel without Xen."""
    load = " && ".join(f"insmod /lib/modules/{module}.ko" for module in MODULES)
    spec = Spec(xen=False, config=context.config, run=load, limits=limits.suite(context.family))
    return [FunctionJob(functools.partial(run, context, spec),
                        needs=(needs.source(context), needs.kernel(context)),
                        load=boot_job.load_of(spec, 20))]


def run(context: Context, spec: Spec, reporter: Reporter) -> list[Test]:
    """Boot SPEC, which loads the modules, and read the kernel's log."""
    result = boot(spec, on_progress=reporter.progress)
    reports = split_reports(kernel_text(result.lines))
    tests = [test for report in reports for test in _read_report(context, report, result)]
    if len(reports) != len(MODULES):
        tests.append(Test("all KUnit modules", FAILED,
                          f"{len(reports)} reports of {len(MODULES)} modules; "
                          f"{result.reason}; log {result.log}"))
    for test in tests:
        reporter.test(test)
    return tests + check_log(context, result, reporter)


def kernel_text(lines: Lines) -> str:
    """The kernel's log from the command on: at boot KUnit announces a plan of its own, of the
    suites in the kernel, which are none."""
    begin = max((number for number, line in enumerate(lines)
                 if line.source == Source.BOOT and line.text.strip() == "run"), default=0)
    return "\n".join(line.text for line in lines[begin:] if line.source == Source.DOM0)


def split_reports(text: str) -> list[str]:
    """The reports of the modules in a kernel's log: kunit.py reads one and ignores the rest."""
    return REPORT.split(text)[1:]


def _read_report(context: Context, text: str, result: Result) -> list[Test]:
    """The results in a kernel's log, as the kernel tree's own tool finds them."""
    cache = context.cache
    tool = kernel_source.ensure(cache) / "tools/testing/kunit/kunit.py"
    with tempfile.TemporaryDirectory(prefix="xen-kunit-") as folder:
        answer = pathlib.Path(folder, "kunit.json")
        parsed = children.run(
            build_root.command(cache, ["python3", tool, "parse", f"--json={answer}"], cwd=folder),
            limits.SHORT_COMMAND, feed=text)
        try:
            tests = list(results(json.loads(answer.read_text(encoding="utf-8"))))
        except (OSError, ValueError):
            tests = []
    if result.status or not tests or has_failed(tests) != (parsed.status != 0):
        tests.append(Test("KUnit as a whole", FAILED,
                          f"{len(tests)} results; kunit.py ended with status {parsed.status}; "
                          f"{result.reason}; log {result.log}"))
    return tests


def results(group: dict[str, Any]) -> Iterator[Test]:
    """The results in kunit.py's JSON: each group has test cases and groups below it."""
    for case in group["test_cases"]:
        yield Test(f"{group['name']}: {case['name']}", OUTCOMES.get(case["status"], FAILED),
                   case["status"])
    for inner in group["sub_groups"]:
        yield from results(inner)
