# SPDX-License-Identifier: GPL-2.0
"""Choice among Debian's kernels, and the parts of their packages that are kept."""

import functools
import json
import pathlib
import subprocess
import tempfile
import unittest
from unittest import mock

from xenrust import debian_kernel
from xenrust.failure import Failure
from xenrust.processor import Processor

AVAILABLE = ["6.12.9+deb13-amd64", "7.2.9+deb13-amd64", "7.2.12+deb13-amd64",
             "7.2.12+deb13-cloud-amd64", "7.2.12+deb13-rt-amd64", "7.3-rc4+deb14-amd64",
             "7.20.1+deb13-amd64"]
PACKAGES = ([f"linux-headers-{release}" for release in AVAILABLE + ["7.3.4+deb13-amd64"]]
            + [f"linux-image-{release}" for release in AVAILABLE]
            + ["linux-headers-7.2.12+deb13-common", "linux-headers-amd64",
               "linux-image-7.2.12+deb13-amd64-dbg"])

ARM64_PACKAGES = [f"linux-{kind}-{release}" for kind in ("headers", "image") for release in (
    "7.2.9+deb13-arm64", "7.2.12+deb13-arm64", "7.3.4+deb13-arm64-16k", "7.2.13+deb13-rt-arm64")]


class Choice(unittest.TestCase):
    def test_newest_of_a_supported_series(self):
        self.assertEqual(debian_kernel.choose("debian", AVAILABLE), "7.3-rc4+deb14-amd64")
        self.assertEqual(debian_kernel.choose("debian", AVAILABLE[:5]), "7.2.12+deb13-amd64")
        self.assertIsNone(debian_kernel.choose("debian", AVAILABLE[:1]))

    def test_candidate_comes_before_its_release(self):
        self.assertEqual(debian_kernel.choose("debian", ["7.3-rc4-amd64", "7.3.0-amd64",
                                                         "7.3-rc5-amd64"]), "7.3.0-amd64")

    def test_revision_of_the_same_version(self):
        built = ["7.2.13+deb13-amd64", "7.2.13+deb13.1-amd64", "7.2.12+deb13.3-amd64"]
        self.assertEqual(debian_kernel.choose("debian", built), "7.2.13+deb13.1-amd64")
        self.assertEqual(debian_kernel.choose("7.2.13", built), "7.2.13+deb13.1-amd64")
        built += ["7.2.13+deb13.9-amd64", "7.2.13+deb13.10-amd64"]
        self.assertEqual(debian_kernel.choose("7.2", built), "7.2.13+deb13.10-amd64")
        self.assertEqual(debian_kernel.choose("7.2.13+deb13", built), "7.2.13+deb13.10-amd64")
        self.assertEqual(debian_kernel.choose("7.2.13+deb13-amd64", built), "7.2.13+deb13-amd64")
        self.assertEqual(debian_kernel.choose("debian", built + ["7.2.14+deb13-amd64"]),
                         "7.2.14+deb13-amd64")

    def test_start_of_a_version(self):
        self.assertEqual(debian_kernel.choose("7.2", AVAILABLE), "7.2.12+deb13-amd64")
        self.assertEqual(debian_kernel.choose("7.2.9", AVAILABLE), "7.2.9+deb13-amd64")
        # Not 7.2.12, and not 7.20.
        self.assertIsNone(debian_kernel.choose("7.2.1", AVAILABLE))

    def test_flavours_by_their_whole_name_only(self):
        self.assertEqual(debian_kernel.choose("7.2.12+deb13-rt-amd64", AVAILABLE),
                         "7.2.12+deb13-rt-amd64")

    def test_releases_among_packages(self):
        self.assertEqual(debian_kernel.releases(PACKAGES, "linux-headers-")[-2:],
                         ["7.3.4+deb13-amd64", "7.2.12+deb13-common"])
        self.assertNotIn("amd64", debian_kernel.releases(PACKAGES, "linux-headers-"))


class Archive(unittest.TestCase):
    """Questions to the archive, and to the cache."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = mock.MagicMock(debian=pathlib.Path(folder.name))
        self.fetched = []
        self.upgraded = mock.Mock()
        self.packages = list(PACKAGES)
        self.guest_root = mock.Mock()
        for target, double in (("build_root.ensure", mock.Mock()),
                               ("build_root.apt_update", mock.Mock()),
                               ("build_root.upgrade_compilers", self.upgraded),
                               ("build_root.apt_cache", self.apt_cache),
                               ("guest_root.ensure", self.guest_root),
                               ("_fetch", self.fetch)):
            patch = mock.patch.object(debian_kernel, target) if "." not in target else mock.patch(
                f"xenrust.debian_kernel.{target}")
            patch.start().side_effect = double
            self.addCleanup(patch.stop)

    def apt_cache(self, _cache, arguments, processor):
        self.assertEqual(arguments, ["pkgnames", "linux-"])
        return "\n".join(self.packages if processor is Processor.X86_64 else ARM64_PACKAGES)

    def fetch(self, cache, release, names):
        self.fetched.append(release)
        folder = cache.debian / release
        folder.mkdir(exist_ok=True)
        information = {"version": "1", "signed": f"linux-image-{release}" in names}
        (folder / "package.json").write_text(json.dumps(information), encoding="utf-8")

    def test_the_cache_comes_first(self):
        self.fetch(self.cache, "7.2.9+deb13-amd64", PACKAGES)
        self.assertEqual(debian_kernel.ensure(self.cache).release, "7.2.9+deb13-amd64")
        self.assertEqual(debian_kernel.ensure(self.cache, "7.2.12").release, "7.2.12+deb13-amd64")
        self.assertEqual(self.fetched[1:], ["7.2.12+deb13-amd64"])

    def test_each_processor_has_kernels_of_its_own(self):
        arm64 = functools.partial(debian_kernel.ensure, self.cache, processor=Processor.ARM64)
        x86 = debian_kernel.ensure(self.cache).release
        with mock.patch("platform.machine", lambda: "x86_64"):
            self.assertEqual(arm64().release, "7.2.12+deb13-arm64")
        self.guest_root.assert_called_once_with(self.cache, Processor.ARM64)
        self.assertEqual(arm64("7.2").release, "7.2.12+deb13-arm64")
        self.assertIs(arm64().processor, Processor.ARM64)
        self.assertEqual(debian_kernel.ensure(self.cache).release, x86)
        # A whole name is one of the wanted processor, too.
        with self.assertRaises(Failure):
            debian_kernel.ensure(self.cache, "7.2.12+deb13-arm64")
        self.assertEqual(arm64("7.3.4+deb13-arm64-16k").release, "7.3.4+deb13-arm64-16k")
        with mock.patch("platform.machine", lambda: "aarch64"):
            arm64("7.2.9")
        self.assertEqual(self.guest_root.call_count, 2)

    def test_update(self):
        self.fetch(self.cache, "7.2.9+deb13-amd64", PACKAGES)
        self.assertTrue(debian_kernel.ensure(self.cache).is_cached)
        updated = debian_kernel.ensure(self.cache, update=True)
        self.assertEqual(updated.release, "7.3-rc4+deb14-amd64")
        self.assertFalse(updated.is_cached)

    def test_newer_kernels_come_with_newer_compilers(self):
        debian_kernel.ensure(self.cache)
        self.assertFalse(self.upgraded.called)
        debian_kernel.ensure(self.cache, update=True)
        self.upgraded.assert_called_once_with(self.cache)

    def test_unsigned_only_by_the_whole_name(self):
        self.assertEqual(debian_kernel.ensure(self.cache, "7.3.4+deb13-amd64").release,
                         "7.3.4+deb13-amd64")
        # Also from the cache.
        self.assertNotEqual(debian_kernel.ensure(self.cache).release, "7.3.4+deb13-amd64")
        self.assertEqual(debian_kernel.ensure(self.cache, "7.3.4+deb13-amd64").release,
                         "7.3.4+deb13-amd64")
        self.assertEqual(self.fetched.count("7.3.4+deb13-amd64"), 1)
        with self.assertRaisesRegex(Failure, "without a signature.*7.3.4[+]deb13-amd64"):
            debian_kernel.ensure(self.cache, "7.3.5")

    def test_unsigned_is_replaced_when_there_is_a_signed_one(self):
        release = "7.3.4+deb13-amd64"
        debian_kernel.ensure(self.cache, release)
        debian_kernel.ensure(self.cache, release, update=True)
        self.assertEqual(self.fetched, [release])
        self.packages.append(f"linux-image-{release}")
        self.assertFalse(debian_kernel.ensure(self.cache).is_cached)
        # It is the same from now on, by any name and without the archive.
        for wanted in ("debian", "7.3", release):
            kernel = debian_kernel.ensure(self.cache, wanted)
            self.assertEqual((kernel.release, kernel.is_cached), (release, True))
        self.assertEqual(self.fetched, [release, release])

    def test_other_series_is_refused_before_anything_is_fetched(self):
        with self.assertRaisesRegex(Failure, "6.12.9.* of series 6.12; .*supports 7.2 and 7.3"):
            debian_kernel.ensure(self.cache, "6.12.9+deb13-amd64")
        self.assertEqual(self.fetched, [])

    def test_what_there_is_instead(self):
        with self.assertRaisesRegex(Failure, "no kernel 7.2.7 .*it has .*7.2.9[+].* 7.2.12[+]"):
            debian_kernel.ensure(self.cache, "7.2.7")


class Source(unittest.TestCase):
    KEPT = ("Makefile", "drivers/xen/Kconfig", "drivers/base/base.h", "arch/arm/crypto/Kconfig",
            "arch/x86/kernel/x.c", "arch/arm64/kernel/x.S", "include/linux/fs/super.h",
            "include/net/x.h", "scripts/kconfig/conf.c", "rust/kernel/lib.rs",
            "tools/objtool/check.c", "Documentation/Kconfig", "drivers/xen/Makefile")
    LEFT = ("drivers/xen/gntdev.c", "drivers/gpu/drm/amd/x.h", "arch/arm/kernel/x.c",
            "arch/arm64/boot/dts/a/x.dts", "arch/alpha/x.c", "arch/riscv/x.c",
            "fs/ext4/inode.c", "tools/testing/x/y.c", "tools/perf/x", "Documentation/a/b.rst")

    def test_what_is_unpacked(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for path in self.KEPT + self.LEFT:
                file = folder / "linux-source-7.2" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("x", encoding="utf-8")
            (folder / "out").mkdir()
            command = debian_kernel.unpack_source("linux-source-7.2", "out")
            subprocess.run(["sh", "-ec", f"tar -cJ linux-source-7.2 | {command}"], cwd=folder,
                           check=True, timeout=600)
            found = {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*")
                     if path.is_file()}
        self.assertEqual(found, set(self.KEPT))
