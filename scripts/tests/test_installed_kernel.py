# SPDX-License-Identifier: GPL-2.0
"""On a Debian machine: for which of the installed kernels a module can be built, and why not."""

import pathlib
import tempfile
import unittest
from unittest import mock

from xenrust import external_module, installed_kernel
from xenrust.failure import Failure

from . import fitting_kernel

RELEASE = "7.2.12+deb13-amd64"
VERSION = "7.2.12-1~bpo13+1"


class FakeTools:
    """A machine with these tools and packages."""

    def __init__(self):
        self.packages = {f"linux-headers-{RELEASE}": VERSION, "linux-source-7.2": VERSION}
        self.says = {"rustc": fitting_kernel.RUSTC, "bindgen": "bindgen 0.71.1",
                     "x86_64-linux-gnu-gcc-14": fitting_kernel.CC}

    def output(self, argv):
        if argv[0] == "dpkg-query":
            version = self.packages.get(argv[-1])
            return f"installed {version}" if version else None
        return self.says.get(argv[0])


class Machine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.system = pathlib.Path(folder.name)
        self.tools = FakeTools()
        self.write_config(RELEASE, fitting_kernel.CONFIG)

    def write_config(self, release, text):
        headers = self.system / "lib/modules" / release / "build"
        headers.mkdir(parents=True, exist_ok=True)
        (headers / ".config").write_text(text, encoding="utf-8")

    def kernel(self, release=RELEASE):
        kernel = installed_kernel.InstalledKernel(release, self.system / "cache", self.system)
        kernel.tools = self.tools
        return kernel


class Fit(Machine):
    def assert_problem(self, pattern, release=RELEASE):
        problems = self.kernel(release).problems()
        self.assertEqual(len(problems), 1, problems)
        self.assertRegex(problems[0], pattern)
        with self.assertRaisesRegex(Failure, f"no module for {release.replace('+', '.')}: "):
            self.kernel(release).build(self.system / "log")

    def test_fits(self):
        self.assertEqual(self.kernel().problems(), [])

    def test_other_series(self):
        for release in ("6.12.9+deb13-amd64", "7.20.1+deb13-amd64", "7.4.1-amd64"):
            self.write_config(release, fitting_kernel.CONFIG)
            self.assert_problem("another series than 7.2 and 7.3", release)

    def test_no_headers(self):
        self.assert_problem("apt install linux-headers-7.2.11-amd64", "7.2.11-amd64")

    def test_no_rust(self):
        self.write_config(RELEASE, fitting_kernel.CONFIG.replace("CONFIG_RUST=y", ""))
        self.assert_problem("has CONFIG_RUST=n.*needs CONFIG_RUST=y")

    def test_unknown_compiler(self):
        self.tools.says["rustc"] = "rustc 1.96.1"
        self.assert_problem("built with rustc 1.85.1.*this is rustc 1.96.1")

    def test_source_is_missing(self):
        del self.tools.packages["linux-source-7.2"]
        self.assert_problem("apt install linux-source-7.2=7.2.12-1~bpo13[+]1")

    def test_source_of_another_version(self):
        self.tools.packages["linux-source-7.2"] = "7.2.11-1"
        self.assert_problem("is of version 7.2.12-1~bpo13[+]1, linux-source-7.2 is of version "
                            "7.2.11-1: apt install")

    def test_headers_of_no_package(self):
        del self.tools.packages[f"linux-headers-{RELEASE}"]
        self.assert_problem("no Debian package")

    def keep_source(self, version=VERSION):
        """Folders that an earlier build leaves."""
        folder = self.system / "cache" / RELEASE
        (folder / "source").mkdir(parents=True)
        (folder / "source.version").write_text(version, encoding="utf-8")

    def test_source_is_not_needed_twice(self):
        del self.tools.packages["linux-source-7.2"]
        self.keep_source()
        # Even if no metadata came of it.
        self.assertEqual(self.kernel().problems(), [])

    def test_kept_source_of_another_version(self):
        self.keep_source("7.2.12-1~bpo13+2")
        metadata = self.system / "cache" / RELEASE / "metadata"
        metadata.mkdir()
        (metadata / external_module.MADE).touch()
        self.assertEqual(self.kernel().problems(), [])
        del self.tools.packages["linux-source-7.2"]
        self.assert_problem("linux-source-7.2 is not installed: apt install")

    def test_source_that_was_not_wholly_unpacked(self):
        del self.tools.packages["linux-source-7.2"]
        (self.system / "cache" / RELEASE / "source").mkdir(parents=True)
        self.assert_problem("linux-source-7.2 is not installed")

    def test_full_disk(self):
        def free(megabytes):
            return mock.patch.object(installed_kernel.shutil, "disk_usage",
                                     return_value=mock.Mock(free=megabytes * 1000000))
        with free(669):
            self.assert_problem("takes 670 MB in .*/cache, there are 669 MB free")
        with free(670):
            self.assertEqual(self.kernel().problems(), [])
        # Files made before take no room again.
        self.keep_source()
        (self.system / "cache" / RELEASE / "metadata").mkdir()
        with free(30):
            self.assertEqual(self.kernel().problems(), [])
        with free(29):
            self.assert_problem("takes 30 MB")

    def test_what_is_left_of_other_kernels_does_not_fill_the_disk(self):
        cache = self.system / "cache"
        for release in ("7.2.11-amd64", "7.2.10-amd64"):
            (cache / release / "source").mkdir(parents=True)
        self.write_config("7.2.10-amd64", fitting_kernel.CONFIG)

        def usage(_):
            kept = len(list(cache.glob("*/source")))
            return mock.Mock(free=(1400 - kept * 670) * 1000000)
        with mock.patch.object(installed_kernel.shutil, "disk_usage", usage):
            # A user who cannot remove anything gets the same message.
            with mock.patch.object(installed_kernel.os, "access", return_value=False):
                self.assert_problem("there are 60 MB free")
            self.assertEqual(self.kernel().problems(), [])
        # The kernel that is still there keeps its own.
        self.assertEqual([folder.name for folder in cache.iterdir()], ["7.2.10-amd64"])


class Source(Machine):
    """Choice of the source for a build."""

    def setUp(self):
        super().setUp()
        folder = self.system / "usr/src"
        folder.mkdir(parents=True)
        self.archive = folder / "linux-source-7.2.tar.xz"
        self.archive.touch()
        self.tools.run = self.unpack
        self.unpacked = []
        self.built = []
        patch = mock.patch.object(installed_kernel.ExternalModule, "build", self.build)
        patch.start()
        self.addCleanup(patch.stop)

    def unpack(self, _step, _argv, failed):
        self.unpacked.append(self.tools.packages["linux-source-7.2"])
        if self.archive.read_text(encoding="utf-8") == "broken":
            raise Failure(failed)
        folder = self.system / "cache" / RELEASE / "source.partial"
        (folder / "Makefile").write_text(self.unpacked[-1], encoding="utf-8")

    def build(self, _shipped):
        source = self.system / "cache" / RELEASE / "source"
        self.built.append((source / "Makefile").read_text(encoding="utf-8"))

    def install(self, version):
        for package in self.tools.packages:
            self.tools.packages[package] = version

    def test_it_is_unpacked_once_for_each_version(self):
        other = "7.2.12-1~bpo13+2"
        for version in (VERSION, VERSION, other, other):
            self.install(version)
            self.kernel().build(self.system / "log")
        self.assertEqual(self.built, [VERSION, VERSION, other, other])
        self.assertEqual(self.unpacked, [VERSION, other])

    def test_it_is_unpacked_anew_after_a_failure(self):
        self.archive.write_text("broken", encoding="utf-8")
        with self.assertRaises(Failure):
            self.kernel().build(self.system / "log")
        self.archive.write_text("", encoding="utf-8")
        self.kernel().build(self.system / "log")
        self.assertEqual(self.built, [VERSION])
        self.assertEqual(self.unpacked, [VERSION, VERSION])
