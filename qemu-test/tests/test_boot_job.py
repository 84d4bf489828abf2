# SPDX-License-Identifier: GPL-2.0
"""A boot of suites goes on after deaths of the emulator, a bounded number of times."""

import pathlib
import re
import unittest
from unittest import mock

from harness import ktap
from harness.boot import MACHINE_DIED, Result
from harness.boot_log import Line, Source
from harness.choices import GuestType
from harness.ending import BootEnd
from harness.engine import boot_job
from harness.engine.context import Context
from harness.results import FAILED, PASSED
from harness.spec import Spec

CONTEXT = Context("dom0")


class Reporter:
    """Keeps all news."""

    def __init__(self):
        self.tests, self.notes = [], []

    def test(self, test):
        self.tests.append((test.name, test.outcome))

    def note(self, text):
        self.notes.append(text)

    def progress(self, text):
        pass


class Resuming(unittest.TestCase):
    def run_job(self, *endings):
        """Results of a boot of suite "one", of three tests. Each of the ENDINGS is the number of
        the last test that a boot has a result of, and its end."""
        scripts = []

        def boot(spec, on_output, on_progress, retries):
            last, end = endings[len(scripts)]
            scripts.append(spec.run)
            first = int(re.search(r"FIRST_CASE=(\d+) one-program", spec.run)[1])
            texts = [ktap.begin_mark("one"), "KTAP version 1", "1..3", "# figures: 5 of 5",
                     *(f"ok {number} rule {number}" for number in range(first, last + 1))]
            if end == BootEnd.EXIT:
                texts += [ktap.end_mark("one", 0), "driver_files 1", ktap.begin_mark("accounting"),
                          "KTAP version 1", "1..1", "ok 1 nothing is left",
                          ktap.end_mark("accounting", 0)]
            stdout = "".join(f"{text}\n" for text in texts).encode()
            on_output(stdout)
            self.assertEqual(retries, 0)
            self.assertTrue(spec.end_at_death)
            return Result(end, 0 if end == BootEnd.EXIT else MACHINE_DIED, stdout,
                          pathlib.Path("log"), [Line(1.0, Source.RUN, text) for text in texts],
                          "why")

        job = boot_job.boot_job(CONTEXT, Spec(dom0=GuestType.PVH), {"one": "one-program"}, 1)
        self.reporter = Reporter()
        with mock.patch.object(boot_job, "boot", boot):
            tests = job.run(self.reporter)
        return [(test.name, test.outcome) for test in tests], len(scripts)

    PASSES = [(f"rule {number}", PASSED) for number in (1, 2, 3)]
    CLEAN = [("nothing is left", PASSED),
             ("no complaint in the logs of the kernels and Xen", PASSED)]

    def test_a_machine_that_lives(self):
        tests, boots = self.run_job((3, BootEnd.EXIT))
        self.assertEqual((tests, boots), ([*self.PASSES, *self.CLEAN], 1))
        self.assertEqual(self.reporter.tests, tests)
        self.assertIn("5 of 5", self.reporter.notes)

    def test_the_emulator_dies_and_the_results_stay(self):
        tests, boots = self.run_job((1, BootEnd.EMULATOR), (2, BootEnd.EMULATOR),
                                    (3, BootEnd.EXIT))
        self.assertEqual((tests, boots), ([*self.PASSES, *self.CLEAN], 3))
        told = [note for note in self.reporter.notes if "going on with test" in note]
        self.assertEqual(len(told), 2)
        self.assertIn("going on with test 2 of one, try 2", told[0])
        self.assertIn("2 deaths of the emulator; 2 tests were tried more than once",
                      self.reporter.notes)

    def test_a_test_that_kills_the_machine_each_time_fails(self):
        tests, boots = self.run_job(*[(1, BootEnd.EMULATOR)] * 20)
        self.assertEqual(boots, boot_job.DEATHS_OF_A_TEST)
        self.assertEqual(tests[:4], [("rule 1", PASSED), ("one as a whole", FAILED),
                                     ("one as a whole", FAILED),
                                     ("accounting as a whole", FAILED)])
        self.assertIn(("the machine", FAILED), tests)
        self.assertIn(("the machine", FAILED), self.reporter.tests)

    def test_a_death_that_is_not_the_emulators_is_not_repeated(self):
        tests, boots = self.run_job((1, BootEnd.DIED))
        self.assertEqual(boots, 1)
        self.assertIn(("the machine", FAILED), tests)

    def test_a_hang_is_not_repeated(self):
        tests, boots = self.run_job((1, BootEnd.TIMEOUT))
        self.assertEqual(boots, 1)
        self.assertIn(("the machine", FAILED), tests)


class Order(unittest.TestCase):
    def test_only_what_is_not_accounted_for_comes_after_the_accounting(self):
        job = boot_job.boot_job(CONTEXT, Spec(), {"one": "one-program"}, 1,
                                unaccounted={"losses": "losses-program"})
        scripts = []

        def boot(spec, on_output, on_progress, retries):
            scripts.append(spec.run)
            return Result(BootEnd.EXIT, 0, b"", pathlib.Path("log"), [], "why")

        with mock.patch.object(boot_job, "boot", boot):
            job.run(Reporter())
        programs = re.findall(r"FIRST_CASE=1 (.*?);", scripts[0])
        self.assertEqual(programs, ["one-program", f"{boot_job.STATE} compare {boot_job.KEPT}",
                                    "losses-program"])


class Loads(unittest.TestCase):
    def threads(self, **options):
        return boot_job.load_of(Spec(**options), 1).threads

    def test_two_processors_run_a_machine_of_two_and_two_instruction_clocks(self):
        clock = self.threads(smp=4, instruction_clock=True)
        self.assertLessEqual(self.threads(smp=2) + 2 * clock, 2)

    def test_two_processors_run_no_two_machines_of_two(self):
        self.assertGreater(2 * self.threads(smp=2), 2)

    def test_more_processors_are_more_threads(self):
        self.assertLess(self.threads(smp=2), self.threads(smp=4))

    def test_the_emulator_takes_more_than_the_machines_memory(self):
        self.assertGreater(boot_job.load_of(Spec(mem=3072), 1).memory, 3072)
