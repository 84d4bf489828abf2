# SPDX-License-Identifier: GPL-2.0
"""`make run`: the kernel that it prepares and boots, and its output."""

import contextlib
import io
import os
import pathlib
import subprocess
import tempfile
import unittest
from unittest import mock

from harness.boot import Result
from harness.boot_log import Line, Source
from harness.choices import GuestType
from harness.commands import run
from harness.ending import BootEnd
from xenrust.cache import REPOSITORY

RELEASE = "7.3.4+deb13-amd64"
LINES = [Line(1.0, Source.DOMU, "show-frame: granted 300 pages"), Line(1.1, Source.DOMU, "else")]


class Run(unittest.TestCase):
    def run_main(self, *arguments, status=0):
        """The boot that is asked for; `prepared` and `said` are the rest."""
        result = Result(BootEnd.EXIT if status == 0 else BootEnd.DIED, status, b"",
                        pathlib.Path("x.log"), LINES, "the reason",
                        screen_files={"picture": pathlib.Path("x.png")})
        printed = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            def patch(name, **options):
                return stack.enter_context(mock.patch(name, **options))

            patch("os.environ", new={**os.environ, "CACHE": f"{folder}/cache"})
            patch("sys.argv", new=["run", *arguments])
            patch("sys.stdout", new=printed)
            patch("sys.stderr", new=printed)
            patch("xenrust.build_root.output", return_value="libxengnttab1 4.20")
            own = patch("xenrust.preparation.with_own_kernel")
            debian = patch("xenrust.preparation.with_debian_kernel")
            debian.return_value.release = RELEASE
            boot = patch("harness.commands.run.boot", return_value=result)
            self.assertEqual(run.main(), status)
        self.prepared = [(double is own, call[0][1]) for double in (own, debian)
                         for call in double.call_args_list]
        self.said = printed.getvalue()
        return boot.call_args[0][0]

    def test_debians_kernel_is_the_default(self):
        spec = self.run_main()
        self.assertEqual(self.prepared, [(False, "debian")])
        self.assertEqual((spec.config, spec.dom0, spec.domu),
                         (f"debian-{RELEASE}", GuestType.PV, GuestType.PV))
        self.assertIn("with libxengnttab1 4.20\"", spec.run)

    def test_a_certain_kernel_of_debian(self):
        self.run_main("--kernel", "7.2")
        self.assertEqual(self.prepared, [(False, "7.2")])

    def test_our_own_kernel(self):
        spec = self.run_main("--config", "dom0")
        self.assertEqual(self.prepared, [(True, "dom0")])
        self.assertEqual((spec.config, spec.dom0, spec.domu),
                         ("dom0", GuestType.PVH, GuestType.PVH))

    def test_types(self):
        spec = self.run_main("--dom0", "pvh", "--domu", "pv")
        self.assertEqual((spec.dom0, spec.domu), (GuestType.PVH, GuestType.PV))

    def test_every_program_that_a_guest_gets_is_built(self):
        spec = self.run_main()
        built = {name for names in run.PROGRAMS.values() for name in names}
        self.assertEqual({pathlib.Path(source).name for source, _ in spec.add + spec.domu_add},
                         built)

    def test_end(self):
        self.run_main()
        self.assertIn("  show-frame: granted 300 pages\n", self.said)
        self.assertNotIn("else", self.said)
        self.assertIn("The picture: x.png\n", self.said)

    def test_failure(self):
        self.run_main(status=125)
        self.assertIn("the reason; log x.log", self.said)
        self.assertNotIn("picture", self.said.lower())


class Make(unittest.TestCase):
    def command(self, *words):
        # Arguments of a make around the tests are not for this one.
        around = {name: value for name, value in os.environ.items()
                  if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "KERNEL", "CONFIG", "DEBUG")}
        return subprocess.run(["make", "-n", "-C", str(REPOSITORY), "--no-print-directory", *words],
                              capture_output=True, text=True, check=True, timeout=600,
                              env=around).stdout.split()

    def test_run(self):
        self.assertEqual(self.command("run"), ["qemu-test/run"])
        self.assertEqual(self.command("run", "KERNEL=7.2"), ["qemu-test/run", "--kernel", "7.2"])
        self.assertEqual(self.command("run", "CONFIG=dom0"), ["qemu-test/run", "--config", "dom0"])
        self.assertEqual(self.command("run", "DEBUG=lockdep"),
                         ["qemu-test/run", "--config", "lockdep"])

    def test_others_have_a_default(self):
        self.assertEqual(self.command("kernel"), ["scripts/build-kernel", "--config", "dom0"])
        self.assertEqual(self.command("kernel", "DEBUG=lockdep"),
                         ["scripts/build-kernel", "--config", "lockdep"])


if __name__ == "__main__":
    unittest.main()
