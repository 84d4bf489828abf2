# SPDX-License-Identifier: GPL-2.0
"""`make module KERNEL=...`: it says when a kernel is only the newest of the cache, and can ask the
archive."""

import contextlib
import io
import os
import pathlib
import runpy
import subprocess
import sys
import unittest
from unittest import mock

from xenrust import debian_kernel
from xenrust.cache import REPOSITORY

RELEASE = "7.2.12+deb13-amd64"


class Module(unittest.TestCase):
    def said(self, *arguments, is_cached=True):
        """Output of the script; `update` is what it asks for."""
        place = pathlib.Path("x")
        kernel = debian_kernel.DebianKernel(RELEASE, "1", place, place, place, is_cached)
        printed = io.StringIO()
        with mock.patch("xenrust.debian_module.ensure", return_value=(kernel, place)) as ensure, \
                mock.patch("xenrust.failure.run_main", lambda main: main()), \
                mock.patch.object(sys, "argv", ["build-module", *arguments]), \
                contextlib.redirect_stderr(printed):
            runpy.run_path(str(REPOSITORY / "scripts/build-module"))
        self.update = ensure.call_args[0][2]
        return printed.getvalue()

    def test_choice_from_the_cache_is_told(self):
        for wanted in ("debian", "7.2"):
            self.assertRegex(self.said(wanted), f"^{RELEASE.replace('+', '.')} is the newest such "
                             "kernel in the cache; UPDATE=1 .* asks the archive")
            self.assertFalse(self.update)

    def test_nothing_newer_is_meant_by_a_whole_release(self):
        self.assertNotIn("cache", self.said(RELEASE))

    def test_choice_from_the_archive(self):
        self.assertNotIn("cache", self.said("debian", "--update", is_cached=False))
        self.assertTrue(self.update)

    def test_make(self):
        def command(*words):
            # Arguments of a make around the tests are not for this one.
            around = {name: value for name, value in os.environ.items()
                      if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "KERNEL", "UPDATE")}
            shown = subprocess.run(["make", "-n", "-C", str(REPOSITORY), "--no-print-directory",
                                    "module", *words], capture_output=True, text=True, check=True,
                                   timeout=600, env=around)
            return shown.stdout.split()
        self.assertEqual(command("KERNEL=7.2"), ["scripts/build-module", "7.2"])
        self.assertEqual(command("KERNEL=7.2", "UPDATE=1"),
                         ["scripts/build-module", "--update", "7.2"])
