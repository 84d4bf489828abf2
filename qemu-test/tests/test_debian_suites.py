# SPDX-License-Identifier: GPL-2.0
"""The suites that run on Debian's own kernels, and how a person says on which."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import unittest
from unittest import mock

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "qemu-test/lib"), str(REPOSITORY / "scripts/lib")]

import suites  # noqa: E402

RELEASE = "7.2.9+deb13-amd64"
CONTEXT = suites.Context("debian", "rust", "rust", on_test=lambda test: None,
                         on_note=lambda text: None, on_progress=lambda text: None)


class Stop(Exception):
    pass


def first_boot(suite, context):
    """What SUITE boots first, and the kernel that it sees to before."""
    ensured = []

    def stop(spec, **_rest):
        raise Stop(spec)

    with mock.patch.object(suites.boot, "boot", stop), \
            mock.patch.object(suites.guest, "ensure", lambda cache: pathlib.Path("programs")), \
            mock.patch.object(suites.guest_kernel, "ensure",
                              lambda cache, config: ensured.append(config)):
        try:
            suite(context)
        except Stop as stopped:
            return stopped.args[0], ensured
    raise AssertionError("boots nothing")


class DebianSuites(unittest.TestCase):
    def test_all_run_on_the_kernel_that_a_person_names(self):
        for config in ("debian", f"debian-{RELEASE}"):
            context = dataclasses.replace(CONTEXT, config=config)
            for name, suite in suites.SUITES["debian"].items():
                with self.subTest(name, config=config):
                    spec, ensured = first_boot(suite, context)
                    self.assertEqual(spec.config, config)
                    self.assertEqual(ensured, [config])

    def test_a_certain_kernel_has_as_much_time_as_the_newest(self):
        context = dataclasses.replace(CONTEXT, config=f"debian-{RELEASE}")
        for name, suite in suites.SUITES["debian"].items():
            with self.subTest(name):
                self.assertEqual(first_boot(suite, context)[0].timeout,
                                 first_boot(suite, CONTEXT)[0].timeout)

    def test_what_needs_no_kernel_of_our_own_runs_there(self):
        ours = {"host", "programs", "kunit", "event-path", "events", "events-pvh", "debian"}
        self.assertEqual(set(suites.SUITES["dom0"]) - set(suites.SUITES["debian"]), ours)


class InstalledKernel(unittest.TestCase):
    def test_nothing_is_built_for_what_a_system_has_installed(self):
        context = dataclasses.replace(CONTEXT, config="package", gntdev="c")
        spec, ensured = first_boot(
            lambda context: suites.boot_installed(context, RELEASE, "/a/root"), context)
        self.assertEqual((spec.config, spec.system), (f"debian-{RELEASE}", "/a/root"))
        self.assertEqual(spec.gntdev, "rust")
        self.assertEqual(ensured, [])


class Command(unittest.TestCase):
    def test_make_passes_the_kernel_on(self):
        # Nothing of the make that may run this.
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("KERNEL", "MAKEFLAGS", "MAKELEVEL")}
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


if __name__ == "__main__":
    unittest.main()
