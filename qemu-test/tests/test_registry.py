# SPDX-License-Identifier: GPL-2.0
"""The registry has every suite, and the help says so."""

import pathlib
import pkgutil
import subprocess
import sys
import unittest

from harness import suites
from harness.choices import Driver, GuestType
from harness.engine import registry, run
from harness.engine.context import Context
from harness.engine.registry import SuiteList, suites_of
from xenrust.processor import Processor

QEMU_TEST = pathlib.Path(__file__).resolve().parents[1]

registry.load(suites)


class Lists(unittest.TestCase):
    def test_the_order_is_that_of_the_output(self):
        self.assertEqual(list(suites_of(SuiteList.DOM0)), [
            "host", "programs", "kunit", "pv", "pvh", "bounce", "bounce-pvh", "full", "event-path",
            "events", "events-pvh", "clients", "hvm", "clients-pvh", "full-disk", "samples",
            "samples-pvh", "debian", "arm64"])
        self.assertEqual(list(suites_of(SuiteList.LOCKDEP)),
                         ["kunit", "pv", "bounce", "events", "catch"])
        self.assertEqual(list(suites_of(SuiteList.FAULT)), ["kunit", "faults", "faults-pvh"])
        self.assertEqual(list(suites_of(SuiteList.KASAN)),
                         ["kunit", "pv", "pvh", "bounce", "events", "catch"])

    def test_suites_of_arm64_boot_arm64(self):
        self.assertEqual(list(suites_of(SuiteList.ARM64)), ["self", "domu"])
        context = Context(SuiteList.ARM64.kernel, processor=SuiteList.ARM64.processor)
        jobs = [job for one in suites_of(SuiteList.ARM64).values() for job in one.plan(context)]
        # The short one is told nothing by the list that it is in.
        jobs += suites_of(SuiteList.DOM0)["arm64"].plan(Context("dom0"))
        for job in jobs:
            self.assertIs(job.spec.processor, Processor.ARM64)
            self.assertEqual((job.spec.dom0, job.spec.config), (GuestType.PVH, "debian"))
            self.assertEqual({need.name for need in job.needs},
                             {"guest programs for arm64", "kernel debian for arm64"})
            for source, _ in job.spec.add:
                self.assertIn("/aarch64-unknown-linux-gnu/release/", source)

    def test_the_quick_list_is_a_choice_of_the_usual_one(self):
        usual = suites_of(SuiteList.DOM0)
        quick = suites_of(SuiteList.QUICK)
        self.assertLessEqual({"host", "programs", "kunit", "pv"}, set(quick))
        for name, suite in quick.items():
            self.assertIs(suite, usual[name])

    def test_each_file_of_suites_has_one(self):
        modules = {suite.plan.__module__ for name in SuiteList
                   for suite in suites_of(name).values()}
        files = {f"harness.suites.{info.name}" for info in pkgutil.iter_modules(suites.__path__)}
        self.assertEqual(modules, files)

    def test_two_suites_cannot_have_one_name_or_one_place(self):
        for name, order in (("pv", 35), ("other", 40)):
            with self.assertRaises(ValueError):
                registry.suite(name, order, (SuiteList.DOM0,))(lambda context: [])

    def test_the_help_names_them_all(self):
        shown = subprocess.run([sys.executable, "run-suites", "--help"], cwd=QEMU_TEST, text=True,
                               stdout=subprocess.PIPE, check=True).stdout
        for name in SuiteList:
            self.assertIn(f"({name}):", shown)
            for suite in suites_of(name).values():
                self.assertIn(f"  {suite.name} ", shown)
                self.assertIn(suite.doc.split(",")[0][:40], shown)


class Plans(unittest.TestCase):
    def test_every_suite_has_jobs_with_names_of_their_own(self):
        for name in SuiteList:
            for driver in Driver:
                context = Context(name.kernel, driver, processor=name.processor)
                for suite in suites_of(name).values():
                    with self.subTest(suite.name, list=name, driver=driver):
                        titles = [job.title for job in suite.plan(context)]
                        self.assertTrue(titles)
                        self.assertEqual(len(set(titles)), len(titles))

    def test_a_build_step_is_done_once(self):
        runs, steps = run.plan(list(suites_of(SuiteList.DOM0).values()), Context("dom0"))
        names = [step.title for step in steps]
        self.assertEqual(len(set(names)), len(names))
        self.assertEqual(set(names), {
            "guest programs", "tests of the guest programs", "kernel source", "kernel dom0",
            "kernel debian", "guest packages for arm64", "guest programs for arm64",
            "kernel debian for arm64"})
        host, = (one for one in runs if one.suite.name == "host")
        self.assertEqual([list(task.after) for task in host.tasks], [[], []])
        after = {step for one in runs for task in one.tasks for step in task.after}
        self.assertEqual(after | {other for step in steps for other in step.after}, set(steps))
        tests = next(step for step in steps if step.title == "tests of the guest programs")
        self.assertEqual([step.title for step in tests.after], ["guest programs"])
