# SPDX-License-Identifier: GPL-2.0
"""The result of a build does not depend on the caller's environment."""

import os
import pathlib
import tempfile
import unittest
from unittest import mock

from xenrust.kernel_tools import ThisMachine
from xenrust.progress import Step


class Environment(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        own = self.folder / "uname"
        own.write_text("#!/bin/sh\necho a tool of the administrator\n", encoding="utf-8")
        own.chmod(0o755)
        patch = mock.patch.dict(os.environ, {
            "PATH": f"{self.folder}:{os.environ['PATH']}", "RUST_LIB_SRC": "x",
            "KBUILD_EXTMOD": "x", "KBUILD_OUTPUT": "x", "MAKEFLAGS": "k"})
        patch.start()
        self.addCleanup(patch.stop)

    def run_logged(self, *argv):
        log = self.folder / "log"
        ThisMachine().run(Step("test", log, timeout=600), argv, failed="failed", cwd=self.folder)
        return log.read_text(encoding="utf-8").partition("\n$ ")[2].partition("\n")[2]

    def test_tools_are_those_of_the_system(self):
        self.assertEqual(ThisMachine().output(["uname"]), "Linux\n")
        self.assertEqual(self.run_logged("uname"), "Linux\n")

    def test_a_missing_tool(self):
        (self.folder / "uname").rename(self.folder / "no-tool-of-any-system")
        self.assertIsNone(ThisMachine().output(["no-tool-of-any-system"]))

    def test_what_make_would_take_from_outside(self):
        names = {line.partition("=")[0] for line in self.run_logged("env").splitlines()}
        self.assertIn("PATH", names)
        self.assertFalse(names & {"RUST_LIB_SRC", "KBUILD_EXTMOD", "KBUILD_OUTPUT", "MAKEFLAGS"})
