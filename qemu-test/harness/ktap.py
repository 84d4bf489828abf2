# SPDX-License-Identifier: GPL-2.0
"""A reader of the KTAP that the suites print, which believes nothing that is not complete.

A suite is a plan, "1..N", and then the results 1 to N in order. Every other line that is not KTAP
(messages of libraries, say) is passed over. A suite that stops early, has no plan, counts wrongly
or says that all is well and yet ends with another status than 0 has a failed result of its own for
that, named after the fault: no count of passed tests can hide it.
"""

import re
from collections.abc import Iterable

from .results import FAILED, PASSED, SKIPPED, Test, has_failed

VERSION = re.compile(r"KTAP version 1")
PLAN = re.compile(r"1\.\.(\d+)(?:\s+#\s*SKIP\b\s*(.*))?")
RESULT = re.compile(r"(ok|not ok) (\d+) (.*)")
# XFAIL: a rule that the driver in use is known not to keep.
DIRECTIVE = re.compile(r"(.*?) *# *(SKIP|XFAIL)\b *(.*)")
SECONDS = re.compile(r"(.*?) *# *(\d+\.\d+) s")
BAIL_OUT = re.compile(r"Bail out! *(.*)")
FAILED_TEST = re.compile(r" *not ok ")


def is_failed_test(line: str) -> bool:
    """True for a line with the result of a failed test, also of a test within a test."""
    return FAILED_TEST.match(line) is not None


class Suite:
    """The results of one suite, fed line by line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tests: list[Test] = []
        # Number of tests that had their results before the program was started once more.
        self._kept = 0
        self._version = False
        self._planned: int | None = None
        self._diagnostics: list[str] = []
        self._faults: list[str] = []

    def feed(self, line: str) -> Test | None:
        """Take the next line of the suite's output; return the result in it, if there is one."""
        line = line.rstrip()
        result = RESULT.fullmatch(line)
        if result:
            return self._result(result[1] == "ok", int(result[2]), result[3])
        plan = PLAN.fullmatch(line)
        bail = BAIL_OUT.fullmatch(line)
        if VERSION.fullmatch(line):
            self._version = True
        elif plan:
            self._plan(int(plan[1]), plan[2])
        elif bail:
            # Its diagnostics belong to no test.
            self._faults.append("\n".join([f"gave up: {bail[1]}", *self._diagnostics]))
            self._diagnostics = []
        elif line.startswith("# "):
            self._diagnostics.append(line[2:])
        return None

    def resume(self) -> None:
        """The machine died. The program is started anew and begins with the next test."""
        self._kept = len(self.tests)
        self._version, self._planned, self._diagnostics = False, None, []

    def finish(self, status: int | None = 0) -> list[Test]:
        """No more lines come: the suite's program ended with STATUS, or None if it never did."""
        if not self._version:
            self._faults.append("printed no KTAP version line")
        if self._planned is None:
            self._faults.append("printed no plan")
        elif len(self.tests) != self._planned:
            self._faults.append(f"planned {self._planned} tests, printed {len(self.tests)} results")
        if status is None:
            self._faults.append("did not end")
        elif (status != 0) != has_failed(self.tests[self._kept:]):
            self._faults.append(f"ended with status {status}, which its results do not explain")
        if self._planned == 0 and not self._faults:
            self._faults.append("has no tests")
        self.tests += [Test(f"{self.name} as a whole", FAILED, fault) for fault in self._faults]
        return self.tests

    def _plan(self, count: int, skip_reason: str | None) -> None:
        if self._planned is not None:
            self._faults.append("printed a second plan")
        elif len(self.tests) > self._kept:
            self._faults.append("printed results before its plan")
        self._planned = count
        if skip_reason is not None:
            # A suite is started in order to run.
            self._faults.append(f"skipped itself: {skip_reason}")

    def _result(self, passed: bool, number: int, text: str) -> Test:
        diagnostics, self._diagnostics = self._diagnostics, []
        if number != len(self.tests) + 1:
            self._faults.append(f"printed result {number} where {len(self.tests) + 1} was due")
        test = Test(text, PASSED if passed else FAILED, "\n".join(diagnostics))
        directive = DIRECTIVE.fullmatch(text)
        timed = SECONDS.fullmatch(text)
        if directive and passed:
            test.name, test.reason = directive[1], directive[3]
            test.outcome = SKIPPED
        elif timed:
            test.name, test.seconds = timed[1], float(timed[2])
        self.tests.append(test)
        return test


def begin_mark(name: str) -> str:
    """The line that a script prints before it starts suite NAME."""
    return f"# suite begins: {name}"


def end_mark(name: str, status: object) -> str:
    """The line that a script prints when suite NAME has ended."""
    return f"# suite ends: {name} {status}"


class Output:
    """The output of a script that runs several suites, each between a begin and an end mark."""

    BEGIN = re.compile(re.escape(begin_mark("")) + r"(\S+)")
    END = re.compile(re.escape("# suite ends: ") + r"(\S+) (\d+)")

    def __init__(self, names: Iterable[str]) -> None:
        self._missing = list(names)
        self._current: Suite | None = None
        self._resumed: str | None = None
        self.tests: list[Test] = []

    def left(self) -> list[tuple[str, int]]:
        """Suites that have not all their results: pairs of a name and the number of the first
        test without one."""
        current = [(self._current.name, len(self._current.tests) + 1)] if self._current else []
        return current + [(name, 1) for name in self._missing]

    def resume(self) -> None:
        """The machine died. The script is started anew with the suites that are left."""
        if self._current:
            self._current.resume()
            self._resumed = self._current.name

    def feed(self, line: str) -> Test | None:
        """Take the next line; return the result in it, if there is one."""
        line = line.rstrip()
        begin = self.BEGIN.fullmatch(line)
        end = self.END.fullmatch(line)
        if begin and self._resumed == begin[1]:
            self._resumed = None
        elif begin:
            self._close(None)
            self._current = Suite(begin[1])
            if begin[1] in self._missing:
                self._missing.remove(begin[1])
        elif end and self._current and end[1] == self._current.name:
            self._close(int(end[2]))
        elif self._current:
            return self._current.feed(line)
        return None

    def finish(self) -> list[Test]:
        """No more lines come. Returns all results, failed ones for suites that are not there."""
        self._close(None)
        self.tests += [Test(f"{name} as a whole", FAILED, "did not run") for name in self._missing]
        self._missing = []
        return self.tests

    def _close(self, status: int | None) -> None:
        if self._current:
            self.tests += self._current.finish(status)
            self._current = None
