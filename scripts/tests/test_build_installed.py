# SPDX-License-Identifier: GPL-2.0
"""A build for DKMS ends with a module or with a reason in plain words, and never as a failure of
which the installation of a kernel would die."""

import contextlib
import io
import pathlib
import runpy
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from xenrust import dkms_package
from xenrust.cache import REPOSITORY
from xenrust.failure import Failure

VERSION = "0.1+1"
KERNEL = "7.2.12+deb13-amd64"


class PreBuild(unittest.TestCase):
    """The step of DKMS that builds. It must end with 0 or 77."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.place = pathlib.Path(folder.name, "build")
        self.place.mkdir()
        package = pathlib.Path(folder.name, "package")
        dkms_package.assemble(package, VERSION)
        self.scripts = package / f"usr/src/xen-gntdev-rust-{VERSION}/scripts"

    def run_step(self, body):
        """Result of a build that does this."""
        (self.scripts / "build-installed").write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        return subprocess.run([str(self.scripts / "pre-build"), KERNEL], cwd=self.place,
                              check=False, capture_output=True, text=True, timeout=600)

    def test_the_module_goes_where_dkms_looks_for_it(self):
        result = self.run_step('echo "$PATH $*" >"$2/x.ko"')
        self.assertEqual(result.returncode, 0)
        self.assertEqual((self.place / "x.ko").read_text(encoding="utf-8"),
                         f"/usr/sbin:/usr/bin:/sbin:/bin --output . {KERNEL}\n")

    def test_a_failure_with_a_reason(self):
        result = self.run_step("echo error: a reason >&2; exit 1")
        self.assertEqual((result.returncode, result.stderr), (77, "error: a reason\n"))

    def test_an_end_without_a_reason(self):
        for body, status in (("kill -KILL $$", 137), ("exit 127", 127), ("exit 2", 2)):
            result = self.run_step(body)
            self.assertEqual(result.returncode, 77)
            self.assertRegex(result.stderr, rf"error: no module for \S+: .* status {status}\n$")


class BuildInstalled(unittest.TestCase):
    """The build itself."""

    def run_main(self, *arguments, problems=None, build=None):
        printed = io.StringIO()
        place = "xenrust.installed_kernel.InstalledKernel"
        with mock.patch(f"{place}.problems", side_effect=problems), \
                mock.patch(f"{place}.build", side_effect=build), \
                mock.patch("xenrust.failure.run_main", self.keep), \
                mock.patch.object(sys, "argv", ["build-installed", *arguments, KERNEL]), \
                contextlib.redirect_stderr(printed):
            runpy.run_path(str(REPOSITORY / "scripts/build-installed"))
            status = self.main()
        return status, printed.getvalue()

    def keep(self, main):
        self.main = main

    def test_unexpected_end(self):
        for error, words in ((OSError(28, "No space left on device", "/x"),
                              "/x: No space left on device"),
                             (ValueError("odd"), "ValueError: odd")):
            with self.assertRaisesRegex(Failure, f"no module for {KERNEL.replace('+', '.')}: "
                                        f"{words}$"):
                self.run_main(build=error)
            self.assertEqual(self.run_main("--fits", problems=error),
                             (77, f"xen-gntdev-rust: not for {KERNEL}: {words}\n"))

    def test_expected_end(self):
        with self.assertRaisesRegex(Failure, "^it does not build$"):
            self.run_main(build=Failure("it does not build"))

    def test_a_copy_that_fails(self):
        with self.assertRaisesRegex(Failure, "no module for .*/nowhere/.*: No such file"):
            self.run_main("--output", "/nowhere/at-all/x",
                          build=lambda log: REPOSITORY / "COPYING")
