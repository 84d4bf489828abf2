# SPDX-License-Identifier: GPL-2.0
"""KTAP is believed only when it is complete."""

import unittest

from harness import architecture, boot_log, ktap
from harness.boot_log import Source
from harness.engine import boot_job
from harness.results import FAILED, PASSED, SKIPPED
from harness.suites import kunit, programs
from xenrust.processor import Processor

GOOD = """\
KTAP version 1
# Subtest: example
1..3
gnttab: error: a message of a library
ok 1 the first # 1.5 s
# seen here
not ok 2 the second
ok 3 the third # SKIP not on this machine
""".splitlines()


def results(lines, status=0):
    suite = ktap.Suite("example")
    for line in lines:
        suite.feed(line)
    return suite.finish(status)


def failures(lines, status=0):
    return [(test.name, test.reason) for test in results(lines, status)
            if test.outcome == FAILED]


class SuiteTest(unittest.TestCase):
    def test_whole_suite(self):
        first, second, third = results(GOOD, 1)
        self.assertEqual((first.name, first.outcome, first.seconds), ("the first", PASSED, 1.5))
        self.assertEqual((second.name, second.outcome, second.reason),
                         ("the second", FAILED, "seen here"))
        self.assertEqual((third.name, third.outcome, third.reason),
                         ("the third", SKIPPED, "not on this machine"))

    def test_known_difference_is_no_pass(self):
        test, = results(["KTAP version 1", "1..1", "ok 1 a rule # XFAIL not kept"])
        self.assertEqual((test.outcome, test.reason), (SKIPPED, "not kept"))

    def test_a_failed_test_does_not_hide_behind_a_directive(self):
        self.assertEqual(len(failures(["KTAP version 1", "1..1", "not ok 1 a rule # SKIP"], 1)), 1)

    def test_every_truncation_fails(self):
        passing = [line for line in GOOD if not line.startswith("not ok")]
        passing[passing.index("1..3")] = "1..2"
        passing[-1] = "ok 2 the third"
        self.assertEqual(failures(passing), [])
        for length in range(len(passing)):
            with self.subTest(lines=length):
                self.assertTrue(failures(passing[:length]))

    def test_results_beyond_the_plan(self):
        lines = ["KTAP version 1", "1..1", "ok 1 one", "ok 2 two"]
        self.assertEqual(failures(lines),
                         [("example as a whole", "planned 1 tests, printed 2 results")])

    def test_results_out_of_order(self):
        lines = ["KTAP version 1", "1..2", "ok 2 two", "ok 1 one"]
        self.assertIn(("example as a whole", "printed result 2 where 1 was due"), failures(lines))

    def test_second_plan(self):
        lines = ["KTAP version 1", "1..2", "ok 1 one", "1..1"]
        self.assertIn(("example as a whole", "printed a second plan"), failures(lines))

    def test_plan_at_the_end(self):
        lines = ["KTAP version 1", "ok 1 one", "1..1"]
        self.assertEqual(failures(lines),
                         [("example as a whole", "printed results before its plan")])

    def test_words_before_a_bail_out_are_its_reason(self):
        lines = ["KTAP version 1", "1..2", "# wrong", "not ok 1 one", "# shorter", "Bail out! why"]
        self.assertEqual(failures(lines, 1), [
            ("one", "wrong"), ("example as a whole", "gave up: why\nshorter"),
            ("example as a whole", "planned 2 tests, printed 1 results")])

    def test_no_version(self):
        self.assertEqual(failures(["1..1", "ok 1 one"]),
                         [("example as a whole", "printed no KTAP version line")])

    def test_no_tests(self):
        self.assertEqual(failures(["KTAP version 1", "1..0"]),
                         [("example as a whole", "has no tests")])

    def test_skipped_suite(self):
        self.assertEqual(failures(["KTAP version 1", "1..0 # SKIP not here"]),
                         [("example as a whole", "skipped itself: not here")])

    def test_bail_out(self):
        lines = ["KTAP version 1", "1..1", "ok 1 one", "Bail out! no device"]
        self.assertEqual(failures(lines), [("example as a whole", "gave up: no device")])

    def test_status_without_failed_test(self):
        lines = ["KTAP version 1", "1..1", "ok 1 one"]
        reason = "ended with status 139, which its results do not explain"
        self.assertEqual(failures(lines, 139), [("example as a whole", reason)])

    def test_failed_test_without_status(self):
        self.assertEqual(len(failures(GOOD, 0)), 2)

    def test_suite_that_did_not_end(self):
        lines = ["KTAP version 1", "1..1", "ok 1 one"]
        self.assertEqual(failures(lines, None), [("example as a whole", "did not end")])


class OutputTest(unittest.TestCase):
    def outcomes(self, lines, names=("one", "two")):
        output = ktap.Output(names)
        for line in lines:
            output.feed(line)
        return [(test.name, test.outcome, test.reason) for test in output.finish()]

    def suite(self, name, end=True):
        lines = [ktap.begin_mark(name), "KTAP version 1", "1..1", f"ok 1 rule of {name}"]
        return lines + [ktap.end_mark(name, 0)] if end else lines

    def test_all_suites(self):
        self.assertEqual(self.outcomes(self.suite("one") + self.suite("two")),
                         [("rule of one", PASSED, ""), ("rule of two", PASSED, "")])

    def test_suite_that_did_not_run(self):
        self.assertEqual(self.outcomes(self.suite("one")),
                         [("rule of one", PASSED, ""),
                          ("two as a whole", FAILED, "did not run")])

    def test_nothing_at_all(self):
        self.assertEqual([outcome for _, outcome, _ in self.outcomes([])], [FAILED, FAILED])

    def test_machine_died_in_the_second(self):
        self.assertIn(("two as a whole", FAILED, "did not end"),
                      self.outcomes(self.suite("one") + self.suite("two", end=False)))

    def test_second_began_before_the_first_ended(self):
        lines = self.suite("one", end=False) + self.suite("two")
        self.assertIn(("one as a whole", FAILED, "did not end"), self.outcomes(lines))

    def test_resumed_after_the_machine_died(self):
        first = self.suite("one") + [ktap.begin_mark("two"), "KTAP version 1", "1..2", "ok 1 a"]
        second = [ktap.begin_mark("two"), "KTAP version 1", "1..2", "ok 2 b",
                  ktap.end_mark("two", 0)]
        output = ktap.Output(["one", "two", "three"])
        for line in first:
            output.feed(line)
        self.assertEqual(output.left(), [("two", 2), ("three", 1)])
        output.resume()
        for line in second + self.suite("three"):
            output.feed(line)
        self.assertEqual(output.left(), [])
        self.assertEqual([(test.name, test.outcome) for test in output.finish()],
                         [("rule of one", PASSED), ("a", PASSED), ("b", PASSED),
                          ("rule of three", PASSED)])

    def test_resumed_without_the_rest(self):
        first = [ktap.begin_mark("one"), "KTAP version 1", "1..2", "ok 1 a"]
        for second, reason in (
                ([], "did not end"),
                (first[:3] + [ktap.end_mark("one", 0)], "planned 2 tests, printed 1 results"),
                (first + [ktap.end_mark("one", 0)], "printed result 1 where 2 was due"),
                (first[:3] + ["not ok 2 b", ktap.end_mark("one", 0)],
                 "ended with status 0, which its results do not explain")):
            with self.subTest(reason):
                output = ktap.Output(["one"])
                for line in first:
                    output.feed(line)
                output.resume()
                for line in second:
                    output.feed(line)
                self.assertIn(("one as a whole", FAILED, reason),
                              [(test.name, test.outcome, test.reason)
                               for test in output.finish()])


class DeathTest(unittest.TestCase):
    FAULT = boot_log.Line(2.0, Source.XEN,
                          "(XEN) d1v0 Triple fault - invoking HVM shutdown action 1")

    def said(self, *texts):
        return [boot_log.Line(1.0, Source.RUN, text) for text in texts]

    def before_death(self, lines, stdout):
        return boot_job.results_before_death(architecture.of(Processor.X86_64), lines, stdout)

    def test_what_failed_after_the_death_does_not_count(self):
        lines = self.said("ok 1 a", "ok 2 b") + [self.FAULT] + self.said("not ok 3 c")
        self.assertEqual(self.before_death(lines, b"not ok 3 c\n"),
                         ["ok 1 a", "ok 2 b"])

    def test_half_a_line_is_no_result(self):
        lines = self.said("ok 1 a", "ok 2 hal")
        self.assertEqual(self.before_death(lines, b"ok 1 a\nok 2 hal"), ["ok 1 a"])
        self.assertEqual(self.before_death(lines + [self.FAULT], b"ok 2 hal"),
                         ["ok 1 a"])

    def test_all_counts_without_a_death(self):
        lines = self.said("ok 1 a", "ok 2 b")
        self.assertEqual(self.before_death(lines, b"ok 1 a\nok 2 b\n"),
                         ["ok 1 a", "ok 2 b"])


CARGO = """\
     Running unittests src/lib.rs
running 2 tests
test tests::one ... ok
test tests::two ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out
running 1 test
test other::three ... ignored
"""


class CargoTest(unittest.TestCase):
    def outcomes(self, text, status):
        return [test.outcome for test in
                programs.read_cargo_tests(text, status, "log", lambda test: None)]

    def test_all_results(self):
        self.assertEqual(self.outcomes(CARGO, 0), [PASSED, PASSED, SKIPPED])

    def test_extents(self):
        self.assertEqual(programs.extents(CARGO), [])
        text = ("---- one stdout ----\nexplored 12 interleavings of one\n"
                "found in interleaving 3: two\nexplored 30 interleavings of three\n")
        self.assertEqual(programs.extents(text), [
            "explored 12 interleavings of one", "found in interleaving 3: two",
            "explored 30 interleavings of three", "explored 42 interleavings in all"])

    def test_truncated(self):
        lines = CARGO.splitlines()
        for length in (0, 1, 2, 3, 7):
            with self.subTest(lines=length):
                self.assertIn(FAILED, self.outcomes("\n".join(lines[:length]), 0))

    def test_failed_build(self):
        self.assertEqual(self.outcomes("error: could not compile\n", 101), [FAILED])

    def test_failed_test(self):
        self.assertEqual(self.outcomes(CARGO.replace("two ... ok", "two ... FAILED"), 101),
                         [PASSED, FAILED, SKIPPED])


class KunitTest(unittest.TestCase):
    def test_reports_of_two_modules(self):
        report = "[    1.5] KTAP version 1\n[    1.5] 1..1\n[    1.5]     KTAP version 1\n"
        self.assertEqual(kunit.split_reports(f"[    1.0] other\n{report}{report}"),
                         [report, report])
        self.assertEqual(kunit.split_reports("[    1.0] other\n"), [])

    def test_nested_groups(self):
        group = {"name": "main", "test_cases": [], "sub_groups": [
            {"name": "index", "sub_groups": [], "test_cases": [
                {"name": "first", "status": "PASS"}, {"name": "second", "status": "FAIL"},
                {"name": "third", "status": "SKIP"}, {"name": "fourth", "status": "ERROR"}]}]}
        self.assertEqual([(test.name, test.outcome) for test in kunit.results(group)],
                         [("index: first", PASSED), ("index: second", FAILED),
                          ("index: third", SKIPPED), ("index: fourth", FAILED)])
