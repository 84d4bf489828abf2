# SPDX-License-Identifier: GPL-2.0
"""The suites that run on Debian's own kernels, and the ways to name one."""

import os
import pathlib
import subprocess
import sys
import unittest

from harness import suites
from harness.engine import registry
from harness.engine.context import Context
from harness.engine.registry import SuiteList, suites_of
from harness.suites import package

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
RELEASE = "7.2.9+deb13-amd64"

registry.load(suites)


def spec_of(job):
    """The boot of JOB, of either kind."""
    return job.spec if hasattr(job, "spec") else job.function.args[-1]


class DebianSuites(unittest.TestCase):
    def test_all_run_on_the_kernel_that_a_person_names(self):
        for config in ("debian", f"debian-{RELEASE}"):
            for name, suite in suites_of(SuiteList.DEBIAN).items():
                for job in suite.plan(Context(config)):
                    with self.subTest(name, config=config):
                        self.assertEqual(spec_of(job).config, config)
                        kernels = [need.name for need in job.needs if "kernel" in need.name]
                        self.assertEqual(kernels, [f"kernel {config}"])

    def test_a_certain_kernel_has_as_much_time_as_the_newest(self):
        for name, suite in suites_of(SuiteList.DEBIAN).items():
            for one, other in zip(suite.plan(Context(f"debian-{RELEASE}")),
                                  suite.plan(Context("debian")), strict=True):
                with self.subTest(name):
                    self.assertEqual(spec_of(one).limits, spec_of(other).limits)

    def test_what_needs_no_kernel_of_our_own_runs_there(self):
        ours = {"host", "programs", "kunit", "bounce", "bounce-pvh", "event-path", "events",
                "events-pvh", "debian", "arm64"}
        self.assertEqual(set(suites_of(SuiteList.DOM0)) - set(suites_of(SuiteList.DEBIAN)), ours)


class InstalledKernel(unittest.TestCase):
    def test_nothing_is_built_for_what_a_system_has_installed(self):
        job = package.boot_installed(Context("debian"), RELEASE, pathlib.Path("/a/root"),
                                     {"a-suite": "a-suite"})
        self.assertEqual((job.spec.config, job.spec.system), (f"debian-{RELEASE}", "/a/root"))
        self.assertEqual([need.name for need in job.needs], ["guest programs"])


class Command(unittest.TestCase):
    def test_make_passes_the_kernel_on(self):
        # Nothing of the make that may run this.
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("KERNEL", "JOBS", "MAKEFLAGS", "MAKELEVEL")}
        for given, expected in (([], "debian"), ([f"KERNEL={RELEASE}"], RELEASE)):
            made = subprocess.run(["make", "-n", "test-debian", *given], cwd=REPOSITORY, text=True,
                                  env=environment, stdout=subprocess.PIPE, check=True)
            self.assertEqual(made.stdout.split(), ["qemu-test/run-suites", "--kernel", expected])

    def test_a_kernel_of_debians_has_debians_suites(self):
        for words in (["--kernel", RELEASE], ["--kernel", "debian"], ["--config", "debian"]):
            refused = subprocess.run(
                [sys.executable, REPOSITORY / "qemu-test/run-suites", *words, "--suite", "kunit"],
                text=True, stderr=subprocess.PIPE, check=False)
            self.assertIn("there is no suite kunit of debian, only c-driver", refused.stderr)
            self.assertEqual(refused.returncode, 2)
