# SPDX-License-Identifier: GPL-2.0
"""The report of a run: whole suites in the order of the registry, while jobs run in any order.

The job whose turn it is prints as it goes on; the others' lines are kept until it is their turn.
A status line says which jobs run: on a terminal it is rewritten in place, elsewhere it is a line
now and then.
"""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from xenrust.progress import duration

from ..results import FAILED, SKIPPED, Outcome, Test, count
from .registry import Suite
from .scheduler import State, Task
from .worker import Note

# Host seconds between two status lines.
ON_TERMINAL, IN_LOG = 1.0, 30.0
LONGEST_PROGRESS = 30


@dataclass
class SuiteRun:
    """A suite and its tasks."""
    suite: Suite
    tasks: list[Task]

    @property
    def tests(self) -> list[Test]:
        """All results so far."""
        return [test for task in self.tasks for test in task.tests]

    @property
    def seconds(self) -> float:
        """Time of all its jobs, also of those that ran side by side."""
        return sum(task.seconds for task in self.tasks)


@dataclass
class _Turns:
    """The tasks in the order of the output, and lines of those whose turn is to come."""
    order: list[Task]
    lines: dict[Task, list[str]] = field(default_factory=dict)
    current: int = 0

    def has_turn(self, task: Task) -> bool:
        """True if the lines of TASK can be printed."""
        return self.current < len(self.order) and self.order[self.current] is task


class Report:
    """Prints results to OUT and the status to STATUS, which may be a terminal both."""

    def __init__(self, runs: Sequence[SuiteRun], out: TextIO = sys.stdout,
                 status: TextIO = sys.stderr, now: Callable[[], float] = time.monotonic) -> None:
        self._runs = runs
        self._out = out
        self._status = status
        self._now = now
        self._turns = _Turns([task for run in runs for task in run.tasks])
        self._started = self._said = now()
        # The status line that is on the terminal.
        self._shown = False

    def begin(self) -> None:
        """Print the heading of the first suite."""
        if self._runs:
            self._heading(self._runs[0])

    def on_message(self, task: Task, message: Test | Note) -> None:
        """Print a result or a note when it is the turn of TASK."""
        line = _test_line(message) if isinstance(message, Test) else f"          {message.text}"
        if self._turns.has_turn(task):
            self._print(line)
        else:
            self._turns.lines.setdefault(task, []).append(line)

    def on_end(self, task: Task) -> None:
        """Print the lines of all tasks whose turn comes by the end of TASK."""
        if task.state == State.FAILED and not task.is_build_step:
            self._fail(task)
        turns = self._turns
        while turns.current < len(turns.order):
            current = turns.order[turns.current]
            for line in turns.lines.pop(current, []):
                self._print(line)
            if not current.has_ended:
                return
            turns.current += 1
            self._close_suite(current)

    def tick(self, tasks: Sequence[Task]) -> None:
        """Say which tasks run, if it is time for that."""
        is_terminal = self._status.isatty()
        if self._now() - self._said < (ON_TERMINAL if is_terminal else IN_LOG):
            return
        self._said = self._now()
        text = self._status_text(tasks)
        if is_terminal:
            # A line that is longer than the terminal is wide could not be rewritten.
            width = shutil.get_terminal_size().columns - 1
            self._status.write(f"\r\x1b[K{text[:width]}")
            self._shown = True
        else:
            self._status.write(f"{text}\n")
        self._status.flush()

    def summarize(self) -> bool:
        """Print once more the failures with their reasons, then the times, the names of the
        failures, and in the last line the numbers. The end of the output names each failure,
        however long the reasons are. True if there are passed tests and no failed one."""
        failed = [(run.suite.name, test) for run in self._runs for test in run.tests
                  if test.outcome == FAILED]
        if failed:
            self._print("\nFailed tests and their reasons:")
        for name, test in failed:
            self._print(f"  {name}: {test.name}")
            for line in test.reason.splitlines():
                self._print(f"      {line}")
        self._print("\nTime of the suites, longest first:")
        for run in sorted(self._runs, key=lambda run: -run.seconds):
            self._print(f"  {run.suite.name:12} {duration(run.seconds):>7}{_parts(run)}")
        if failed:
            self._print("\nFailed:")
        for name, test in failed:
            self._print(f"  {name}: {test.name}")
        counts = count(test for run in self._runs for test in run.tests)
        self._print(f"\n{_counts(counts)}")
        return bool(counts[FAILED] == 0 and sum(counts.values()) > counts[SKIPPED])

    def _fail(self, task: Task) -> None:
        """One failed result for a task that could not run."""
        run = next(run for run in self._runs if task in run.tasks)
        title = f"{run.suite.name}, {task.title}" if len(run.tasks) > 1 else run.suite.name
        task.tests = [Test(f"{title} as a whole", FAILED, f"did not run: {task.failure}")]
        self.on_message(task, task.tests[0])

    def _close_suite(self, task: Task) -> None:
        """Print the sum of a suite of which TASK was the last one, and the next heading."""
        for number, run in enumerate(self._runs):
            if run.tasks[-1] is task:
                self._print(f"{run.suite.name}: {_counts(count(run.tests))} in "
                            f"{run.seconds:.0f} s")
                if number + 1 < len(self._runs):
                    self._heading(self._runs[number + 1])

    def _heading(self, run: SuiteRun) -> None:
        self._print(f"\n{run.suite.name}: {run.suite.doc}")

    def _status_text(self, tasks: Sequence[Task]) -> str:
        running = [task for task in tasks if task.state == State.RUNNING]
        done = sum(task.has_ended for task in tasks)
        texts = [f"{task.title} {duration(self._now() - task.started)}{_progress(task)}"
                 for task in running]
        return (f"... {duration(self._now() - self._started)}, {done} of {len(tasks)} done: "
                f"{'; '.join(texts)}")

    def _print(self, line: str) -> None:
        if self._shown:
            self._status.write("\r\x1b[K")
            self._status.flush()
            self._shown = False
        print(line, file=self._out, flush=True)


def _progress(task: Task) -> str:
    text = " ".join(task.progress.split())
    return f" ({text[:LONGEST_PROGRESS]})" if text else ""


def _parts(run: SuiteRun) -> str:
    """The times of the jobs of a suite that has several."""
    if len(run.tasks) == 1:
        return ""
    tasks = sorted(run.tasks, key=lambda task: -task.seconds)
    prefix = f"{run.suite.name} "
    return "  " + ", ".join(f"{task.title.removeprefix(prefix)} {duration(task.seconds)}"
                            for task in tasks)


def _test_line(test: Test) -> str:
    seconds = f" ({test.seconds:.1f} s)" if test.seconds is not None and test.seconds >= 1 else ""
    reason = f": {test.reason}" if test.outcome == SKIPPED and test.reason else ""
    return f"  {test.outcome:7} {test.name}{seconds}{reason}"


def _counts(counts: dict[Outcome, int]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
