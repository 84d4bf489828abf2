# SPDX-License-Identifier: GPL-2.0
"""The DKMS package carries what a build takes, at the places that DKMS and modprobe know."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
from unittest import mock

from xenrust import build_root, dkms_package, kernel_fit
from xenrust.cache import REPOSITORY, Cache
from xenrust.failure import Failure
from xenrust.kernel_source import SUPPORTED_SERIES

VERSION = "0.1+20260102.030405"


class Package(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name, "package")
        dkms_package.assemble(cls.folder, VERSION)
        cls.source = cls.folder / f"usr/src/xen-gntdev-rust-{VERSION}"

    def text(self, place):
        return (self.folder / place).read_text(encoding="utf-8")

    def test_sources_are_those_of_the_tree(self):
        for place in ("drivers/xen/gntdev/gntdev.rs", "drivers/xen/rust/Makefile.bindings",
                      "include/trace/events/xen_gntdev.h"):
            self.assertEqual((self.source / place).read_bytes(), (REPOSITORY / place).read_bytes())

    def test_interpreter_is_the_one_of_the_dependencies(self):
        first, _, rest = (self.source / "scripts/build-installed").read_text().partition("\n")
        self.assertEqual(first, "#!/usr/bin/python3 -B")
        original = (REPOSITORY / "scripts/build-installed").read_text(encoding="utf-8")
        self.assertEqual(rest, original.partition("\n")[2])
        self.assertIn("python3,", re.search(r"^Depends: (.*)$", self.text("DEBIAN/control"),
                                            re.M)[1])

    def test_nothing_that_only_a_kernel_tree_or_an_editor_has(self):
        names = {path.name for path in self.folder.rglob("*")}
        self.assertFalse(names & {"Kconfig", "gntdev_kunit.rs", "dma_buf_importer.c",
                                  ".kunitconfig", "__pycache__"})

    def test_every_word_is_filled_in(self):
        for path in self.folder.rglob("*"):
            if path.is_file() and path.suffix != ".gz" and "lib" not in path.parts:
                self.assertNotRegex(path.read_text(encoding="utf-8"), r"@[A-Z]+@", path)

    def test_version_is_the_same_everywhere(self):
        self.assertIn(f"\nVersion: {VERSION}\n", self.text("DEBIAN/control"))
        self.assertIn(f'PACKAGE_VERSION="{VERSION}"\n', (self.source / "dkms.conf").read_text())
        for script in ("postinst", "prerm"):
            self.assertIn(VERSION, self.text(f"DEBIAN/{script}"))

    def test_control_file_has_no_comments_and_is_well_formed(self):
        for line in self.text("DEBIAN/control").splitlines():
            self.assertRegex(line, r"^([A-Z][A-Za-z-]+: .+| .+)$")
        self.assertEqual(self.text("DEBIAN/triggers"), "interest-noawait /usr/src\n")

    def test_sums(self):
        lines = self.text("DEBIAN/md5sums").splitlines()
        for line in lines:
            wanted, place = line.split("  ")
            self.assertEqual(hashlib.md5((self.folder / place).read_bytes()).hexdigest(), wanted)
        files = [path for path in self.folder.rglob("*") if path.is_file()
                 and path.parent.name != "DEBIAN"]
        self.assertEqual(len(lines), len(files))

    def test_scripts_can_be_run(self):
        for script in ("postinst", "prerm", "postrm"):
            path = self.folder / "DEBIAN" / script
            self.assertTrue(os.access(path, os.X_OK))
            subprocess.run(["sh", "-n", str(path)], check=True, timeout=600)
        self.assertTrue(os.access(self.source / "scripts/build-installed", os.X_OK))
        subprocess.run(["bash", "-n", str(self.source / "dkms.conf")], check=True, timeout=600)

    def dkms_conf(self, kernel, question):
        """Answer of bash, in which DKMS is written, to a question about dkms.conf."""
        result = subprocess.run(
            ["bash", "-c", f'kernelver={kernel}; . "$0"; {question}', self.source / "dkms.conf"],
            capture_output=True, text=True, check=False, timeout=600)
        return result.stdout if result.returncode == 0 else None

    def test_dkms_runs_what_is_there(self):
        script, kernel = self.dkms_conf("7.2.1", 'echo "$PRE_BUILD"').split()
        self.assertTrue(os.access(self.source / script, os.X_OK), script)
        self.assertEqual(kernel, "7.2.1")

    def test_nothing_can_fail_where_dkms_would_call_it_an_error(self):
        self.assertEqual(self.dkms_conf("7.2.1", 'eval "$MAKE LLVM=1" && echo "$POST_BUILD"'), "\n")

    def test_dkms_leaves_out_other_series(self):
        def is_meant(kernel):
            return self.dkms_conf(kernel, '[[ $kernelver =~ $BUILD_EXCLUSIVE_KERNEL ]]') is not None
        for series in SUPPORTED_SERIES:
            for rest in (".12+deb13-amd64", ".1-amd64", "-rc4+deb14-amd64", ".13+deb13.1-amd64"):
                self.assertTrue(is_meant(series + rest), series + rest)
            for other in (f"{series}0.1-amd64", f"6.{series}-amd64", f"1{series}.1-amd64",
                          f"{series.replace('.', '')}.1-amd64"):
                self.assertFalse(is_meant(other), other)
        for other in ("6.12.117+deb13-amd64", "7.1.9+deb13-amd64", "7.4.1-amd64"):
            self.assertFalse(is_meant(other), other)

    def test_dkms_leaves_out_kernels_that_lack_something(self):
        self.assertEqual(self.dkms_conf("7.2.1", 'echo "$BUILD_EXCLUSIVE_CONFIG"').split(),
                         list(kernel_fit.NEEDED_OPTIONS))

    def test_packages_are_those_of_the_series(self):
        control = self.text("DEBIAN/control")
        # apt takes the first: the newest kernel's.
        self.assertIn(" | ".join(f"linux-source-{series}" for series in SUPPORTED_SERIES[::-1]),
                      control)
        # Without a version these are those of the stable kernel.
        recommended = (f"{name} (>= {SUPPORTED_SERIES[0]}~)"
                       for name in ("linux-headers-amd64", "linux-source"))
        self.assertIn(f"\nRecommends: {', '.join(recommended)}\n", control)

    # Calls of modprobe by the `install` line.
    RUST = "--quiet xen_gntdev_rust limit=7"
    C = "--ignore-install xen-gntdev limit=7"
    LOOK = "--quiet --dry-run xen_gntdev_rust"

    def modprobe(self, *good):
        """Status of the `install` line, the calls that it makes, of which those in GOOD succeed,
        and the message for the kernel's log."""
        text = self.text("usr/lib/modprobe.d/xen-gntdev-rust.conf").replace("\\\n", "")
        command = re.search(r"^install xen-gntdev (.*)$", text, re.M)[1]
        called, modprobe, kmsg = (self.folder.parent / name for name in
                                  ("called", "modprobe", "kmsg"))
        cases = "".join(f"'{call}') exit 0;;\n" for call in good)
        modprobe.write_text(f'#!/bin/sh\necho "$@" >>"{called}"\ncase "$*" in\n{cases}esac\n'
                            "exit 3\n", encoding="utf-8")
        modprobe.chmod(0o755)
        for file in (called, kmsg):
            file.write_text("", encoding="utf-8")
        # As modprobe does: the parameters are put in, and a shell runs it.
        for old, new in (("/sbin/modprobe", modprobe), ("/dev/kmsg", kmsg),
                         ("$CMDLINE_OPTS", "limit=7 ")):
            command = command.replace(old, str(new))
        status = subprocess.run(["sh", "-c", command], check=False, timeout=600).returncode
        return (status, called.read_text(encoding="utf-8").splitlines(),
                kmsg.read_text(encoding="utf-8"))

    def test_modprobe_prefers_the_rust_driver(self):
        self.assertEqual(self.modprobe(self.RUST), (0, [self.RUST], ""))

    def test_modprobe_falls_back_where_there_is_no_module(self):
        self.assertEqual(self.modprobe(self.C), (0, [self.RUST, self.C, self.LOOK], ""))

    def test_modprobe_falls_back_and_says_so_where_the_module_is_rejected(self):
        status, calls, message = self.modprobe(self.C, self.LOOK)
        self.assertEqual((status, calls), (0, [self.RUST, self.C, self.LOOK]))
        self.assertRegex(message, r"\A<4>xen-gntdev-rust: .*mokutil --import \S+/mok\.pub\n\Z")

    def test_modprobe_fails_without_a_message_where_neither_can_be_loaded(self):
        # On a machine without Xen, for one.
        self.assertEqual(self.modprobe(self.LOOK), (3, [self.RUST, self.C], ""))

    def test_versions_that_dpkg_or_dkms_would_refuse(self):
        for version in ("v1", "1-2", "1/2", "", "1 2"):
            with self.assertRaises(Failure):
                dkms_package.assemble(self.folder.parent / "other", version)

    def test_default_version_grows_with_time(self):
        self.assertRegex(dkms_package.default_version(), r"^0\.1\+\d{8}\.\d{6}$")


class Tool(unittest.TestCase):
    """The tool that packs it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for patch in (mock.patch.dict(os.environ, {"CACHE": folder.name}),
                      mock.patch("xenrust.build_root.ensure"),
                      mock.patch("xenrust.build_root.run_logged")):
            self.addCleanup(patch.stop)
            patch.start()
        self.cache = Cache()

    @unittest.skipUnless(shutil.which("dpkg-deb"), "this machine has no dpkg-deb")
    def test_of_this_machine(self):
        file = dkms_package.ensure(self.cache, VERSION)
        shown = subprocess.run(["dpkg-deb", "--field", str(file), "Version"], capture_output=True,
                               text=True, check=True, timeout=600)
        self.assertEqual(shown.stdout, f"{VERSION}\n")
        self.assertFalse(build_root.ensure.called)

    def test_of_a_build_root(self):
        with mock.patch.object(dkms_package.shutil, "which", return_value=None):
            file = dkms_package.ensure(self.cache, VERSION)
        build_root.ensure.assert_called_once_with(self.cache, build_root.Purpose.FETCH)
        _, _, argv = build_root.run_logged.call_args[0]
        self.assertEqual((argv[0], argv[-1]), ("dpkg-deb", str(file)))
        self.assertIn(file.parent, build_root.run_logged.call_args[1]["binds"])
