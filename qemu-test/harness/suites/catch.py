# SPDX-License-Identifier: GPL-2.0
"""The proofs that the logs of the debug kernels are read: each boot has a fault, which the log
check must find."""

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

LOCK_ORDER = re.compile(r"possible circular locking dependency")
USE_AFTER_FREE = re.compile(r"KASAN: slab-use-after-free in kasan_test_rust_uaf\+")

# The kernel's own tests of KASAN. One of them has Rust code read memory that it has freed.
KASAN_TESTS = "kasan_test"
RUST_TEST = "kunit.filter_glob=kasan.rust_uaf"
# The objects of Rust code, and a function that the compiler calls in all code that KASAN checks.
CHECKED = ("gntdev/gntdev.o", "gntdev/gntdev_kunit.o", "events/fifo_events.o",
           "events/fifo_events_kunit.o")
CHECK_FUNCTION = b"__asan_load8_noabort"


@suite("catch", order=130, lists=(SuiteList.LOCKDEP,))
def lock_order(context: Context) -> list[Job]:
    """The log check finds the fault of the C driver, whose first mapping can deadlock. It proves
    that such a fault of the Rust driver would be found."""
    spec = Spec(gntdev=Driver.C, config=context.config, run="gntdev-self 'one page'",
                add=needs.additions(context, "gntdev-self"), limits=limits.suite(context.family))
    return [_job(context, spec, functools.partial(
        _boot, context, spec, "the log check catches the C driver's lock order", LOCK_ORDER))]


@suite("catch", order=130, lists=(SuiteList.KASAN,))
def use_after_free(context: Context) -> list[Job]:
    """The log check finds that Rust code reads memory that it has freed, in a PV dom0, and the
    driver is checked as that code is."""
    spec = Spec(config=context.config, run=f"insmod /lib/modules/{KASAN_TESTS}.ko",
                cmdline=RUST_TEST, limits=limits.suite(context.family))
    return [_job(context, spec, functools.partial(_use_after_free, context, spec))]


def _job(context: Context, spec: Spec, work: functools.partial[list[Test]]) -> Job:
    return FunctionJob(work, needs=(needs.programs(context), needs.kernel(context)),
                       load=boot_job.load_of(spec, 40))


def _use_after_free(context: Context, spec: Spec, reporter: Reporter) -> list[Test]:
    folder = context.cache.kernel / context.config / "drivers/xen"
    tests = []
    for name in CHECKED:
        tests.append(check(f"{name} is built with checks",
                           CHECK_FUNCTION in (folder / name).read_bytes(),
                           f"{folder / name} does not call {CHECK_FUNCTION.decode()}"))
        reporter.test(tests[-1])
    return tests + _boot(context, spec, "the log check catches a use after free in Rust",
                         USE_AFTER_FREE, reporter)


def _boot(context: Context, spec: Spec, name: str, fault: re.Pattern[str],
          reporter: Reporter) -> list[Test]:
    """Boot SPEC, which has the FAULT, and look for it."""
    result = boot(spec, on_progress=reporter.progress)
    reports = log_check.unexplained(result.lines, baseline(context))
    found = any(fault.search(line) for report in reports for line in report.lines)
    test = check(name, found, f"none of {len(reports)} reports is that; log {result.log}")
    reporter.test(test)
    return [test]
