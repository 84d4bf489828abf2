# SPDX-License-Identifier: GPL-2.0
"""The report: whole suites in their order, whichever job ends first."""

import io
import unittest

from harness.engine.context import Context
from harness.engine.job import FunctionJob, Load
from harness.engine.registry import Suite, SuiteList
from harness.engine.report import IN_LOG, Report, SuiteRun
from harness.engine.resources import Resources
from harness.engine.run import plan
from harness.engine.scheduler import Scheduler, State, Task
from harness.engine.worker import Note
from harness.results import FAILED, PASSED, SKIPPED, Test


def suite(name):
    def plan(_context):
        return []
    plan.__doc__ = f"Suite {name}."
    return Suite(name, (SuiteList.DOM0,), 1, plan)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Reports(unittest.TestCase):
    def setUp(self):
        self.tasks = [Task(title, lambda reporter: [], Load()) for title in
                      ("one", "two a", "two b")]
        self.runs = [SuiteRun(suite("one"), self.tasks[:1]), SuiteRun(suite("two"), self.tasks[1:])]
        self.out = io.StringIO()
        self.time = 0.0

    def report(self, status=None):
        self.status = status or io.StringIO()
        report = Report(self.runs, self.out, self.status, lambda: self.time)
        report.begin()
        return report

    def end(self, report, task, *tests, seconds=5.0, failure=None):
        task.tests, task.failure, task.seconds = list(tests), failure or "", seconds
        task.state = State.FAILED if failure else State.DONE
        for test in tests:
            report.on_message(task, test)
        report.on_end(task)

    def lines(self):
        return self.out.getvalue().splitlines()

    def test_what_ends_early_is_kept_until_its_turn(self):
        one, a, b = self.tasks
        report = self.report()
        self.end(report, b, Test("rule b", PASSED))
        self.end(report, a, Test("rule a", PASSED))
        self.assertEqual(self.lines(), ["", "one: Suite one."])
        self.end(report, one, Test("rule one", PASSED))
        self.assertEqual(self.lines(), [
            "", "one: Suite one.", "  passed  rule one",
            "one: 1 passed, 0 failed, 0 skipped in 5 s",
            "", "two: Suite two.", "  passed  rule a", "  passed  rule b",
            "two: 2 passed, 0 failed, 0 skipped in 10 s"])

    def test_the_first_unfinished_job_is_shown_as_it_goes_on(self):
        one, a, b = self.tasks
        report = self.report()
        report.on_message(one, Test("rule one", PASSED))
        self.assertIn("  passed  rule one", self.lines())
        report.on_message(a, Note("a note"))
        self.assertNotIn("          a note", self.lines())
        self.end(report, one)
        self.assertIn("          a note", self.lines())
        report.on_message(a, Test("rule a", SKIPPED, "not here"))
        self.assertIn("  skipped rule a: not here", self.lines())

    def test_the_last_line_counts_and_failures_come_again(self):
        one, a, b = self.tasks
        report = self.report()
        self.end(report, one, Test("rule one", FAILED, "because\nof this"), seconds=70)
        self.end(report, a, Test("rule a", PASSED), seconds=20)
        self.end(report, b, Test("rule b", SKIPPED), seconds=100)
        self.out.truncate(0)
        self.out.seek(0)
        self.assertFalse(report.summarize())
        self.assertEqual(self.lines(), [
            "",
            "Failed tests and their reasons:", "  one: rule one", "      because", "      of this",
            "",
            "Time of the suites, longest first:",
            "  two            2m00s  b 1m40s, a 20s", "  one            1m10s",
            "", "Failed:", "  one: rule one",
            "", "1 passed, 1 failed, 1 skipped"])

    def test_a_job_that_could_not_run_is_a_failed_test(self):
        one, a, b = self.tasks
        report = self.report()
        self.end(report, one, Test("rule one", PASSED))
        self.end(report, a, failure="no kernel")
        self.end(report, b, Test("rule b", PASSED))
        self.assertIn("  failed  two, two a as a whole", self.lines())
        self.assertFalse(report.summarize())
        self.assertIn("      did not run: no kernel", self.lines())

    def test_a_job_without_results_is_a_failed_test(self):
        context = Context("dom0")
        empty = Suite("two", (SuiteList.DOM0,), 1, lambda _context: [
            FunctionJob(lambda reporter: [], "a"),
            FunctionJob(lambda reporter: [Test("rule b", PASSED)], "b")])
        self.runs, _ = plan([empty], context)
        report = self.report()
        Scheduler(Resources(2.0, 4096), report).run(self.runs[0].tasks)
        self.assertFalse(report.summarize())
        self.assertIn("      did not run: it has no results", self.lines())

    def test_all_is_well_only_if_something_passed(self):
        report = self.report()
        for task in self.tasks:
            self.end(report, task, Test("rule", SKIPPED))
        self.assertFalse(report.summarize())
        report = self.report()
        for task in self.tasks:
            self.end(report, task, Test("rule", PASSED))
        self.assertTrue(report.summarize())

    def run_for(self, report, seconds):
        self.tasks[0].state, self.tasks[0].started = State.RUNNING, self.time
        self.tasks[0].progress = "3.0 s  xenstored"
        self.time += seconds
        report.tick(self.tasks)

    def test_the_status_is_a_line_now_and_then_in_a_log(self):
        report = self.report()
        self.run_for(report, IN_LOG - 1)
        self.assertEqual(self.status.getvalue(), "")
        self.run_for(report, 2)
        self.assertEqual(self.status.getvalue(),
                         f"... {IN_LOG + 1:.0f}s, 0 of 3 done: one 2s (3.0 s xenstored)\n")

    def test_the_status_is_rewritten_on_a_terminal(self):
        report = self.report(Terminal())
        self.run_for(report, 2)
        self.run_for(report, 2)
        self.assertEqual(self.status.getvalue().count("\r\x1b[K..."), 2)
        self.assertNotIn("\n", self.status.getvalue())
        report.on_message(self.tasks[0], Test("rule one", PASSED))
        self.assertTrue(self.status.getvalue().endswith("\r\x1b[K"))
