# SPDX-License-Identifier: GPL-2.0
"""The path of one event through the port operations, in instructions."""

import dataclasses
import functools

from .. import event_cost, limits, object_tools
from ..boot import boot
from ..boot_log import Source
from ..choices import EventOperations
from ..engine import boot_job, needs
from ..engine.context import Context
from ..engine.job import FunctionJob, Job, Reporter
from ..engine.log_results import check_log
from ..engine.registry import SuiteList, suite
from ..results import Test, check
from ..spec import Spec

COMPARED = (EventOperations.C, EventOperations.RUST)


@suite("event-path", order=60, lists=(SuiteList.DOM0,))
def path_of_an_event(context: Context) -> list[Job]:
    """The instructions that an event takes in the port operations in Rust, and in those in C."""
    spec = Spec(smp=1, config=context.config, toolstack=False, run="true",
                limits=limits.suite(context.family))
    return [FunctionJob(functools.partial(run, context, spec), needs=(needs.kernel(context),),
                        load=boot_job.load_of(spec, 40))]


def run(context: Context, spec: Spec, reporter: Reporter) -> list[Test]:
    """Boot SPEC with the port operations in C and in Rust, and compare them."""
    image = context.cache.kernel / context.config / "vmlinux"
    symbols = object_tools.output(context.cache, "nm", "-S", image)
    paths: dict[EventOperations, event_cost.Cost] = {}
    tests: list[Test] = []
    for events in COMPARED:
        functions, handler = event_cost.find(symbols, events)
        traced = dataclasses.replace(spec, events=events, trace=tuple(
            (function.start, function.size) for function in functions))
        result = boot(traced, on_progress=reporter.progress)
        paths[events] = event_cost.cost(
            (line.text for line in result.lines if line.source == Source.QEMU), functions, handler)
        reporter.note(f"an event in {events}: {paths[events]}; log {result.log}")
        tests += check_log(context, result, reporter)
    (function,), _ = event_cost.find(symbols, EventOperations.RUST)
    strangers = event_cost.strangers(
        object_tools.output(context.cache, "objdump", "-d", "--no-show-raw-insn",
                            f"--disassemble={function.name}", image), function)
    c, rust = paths[EventOperations.C], paths[EventOperations.RUST]
    reason = "\n".join([*(f"{events}: {path}" for events, path in paths.items()), *strangers])
    compared = [
        check("an event takes no more instructions than in C",
              rust.instructions <= c.instructions, reason),
        check("an event takes no more locked instructions than in C", rust.locked <= c.locked,
              reason),
        check("no panic, and no call but that of the interrupts' handler", not strangers, reason)]
    for test in compared:
        reporter.test(test)
    return tests + compared
