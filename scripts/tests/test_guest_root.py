# SPDX-License-Identifier: GPL-2.0
"""Packages for guests of another processor are unpacked once, and again when they must change."""

import os
import pathlib
import tempfile
import unittest
from unittest import mock

from xenrust import build_root, guest_root
from xenrust.build_root import Purpose
from xenrust.cache import Cache
from xenrust.processor import Processor

ARM64 = Processor.ARM64


class GuestRoot(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        with mock.patch.dict(os.environ, {"CACHE": f"{folder.name}/cache"}):
            self.cache = Cache()
        self.cache.make_folders()
        self.machine = "x86_64"
        self.version = "1.85.1"
        self.calls = []
        for target, double in (("platform.machine", lambda: self.machine),
                               ("xenrust.build_root.ensure", self.ensure_build_root),
                               ("xenrust.build_root.output", lambda *_, **__: self.version),
                               ("xenrust.build_root.bootstrap", self.bootstrap),
                               ("xenrust.build_root.apt_download", self.download),
                               ("xenrust.build_root.run_logged", self.unpack)):
            patch = mock.patch(target, double)
            patch.start()
            self.addCleanup(patch.stop)

    def ensure_build_root(self, _cache, purpose, processor):
        self.assertEqual((purpose, processor), (Purpose.BOOT, ARM64))

    def bootstrap(self, _cache, folder, _title, packages, keep_indexes, unpack_only):
        self.assertTrue(keep_indexes)
        self.assertIs(unpack_only, ARM64)
        self.calls.append(("bootstrap", *packages))
        folder.mkdir(exist_ok=True)
        (folder / guest_root.STAMP).unlink(missing_ok=True)

    def download(self, _cache, _title, packages, _folder, processor):
        self.assertIs(processor, ARM64)
        self.calls.append(("download", *packages))

    def unpack(self, _cache, _step, argv, failed, cwd):
        folder, name, text = argv[-3:]
        pathlib.Path(folder, name).write_text(text, encoding="utf-8")

    def test_they_are_unpacked_once(self):
        for _ in range(2):
            folder = guest_root.ensure(self.cache, ARM64)
        self.assertEqual(folder, self.cache.root / "guest-root-arm64")
        self.assertEqual(self.calls, [("bootstrap", *guest_root.PACKAGES[ARM64]),
                                      ("download", "libstd-rust-dev=1.85.1")])

    def test_rust_is_that_of_the_compiler(self):
        guest_root.ensure(self.cache, ARM64)
        self.version = "1.85.2"
        guest_root.ensure(self.cache, ARM64)
        self.assertEqual(self.calls[-1], ("download", "libstd-rust-dev=1.85.2"))
        self.assertEqual(len(self.calls), 4)

    def test_a_new_package(self):
        guest_root.ensure(self.cache, ARM64)
        with mock.patch.dict(guest_root.PACKAGES, {ARM64: ("new",)}):
            guest_root.ensure(self.cache, ARM64)
        self.assertIn(("bootstrap", "new"), self.calls)

    def test_an_interrupted_step_is_repeated(self):
        with mock.patch("xenrust.build_root.run_logged", side_effect=KeyboardInterrupt), \
                self.assertRaises(KeyboardInterrupt):
            guest_root.ensure(self.cache, ARM64)
        guest_root.ensure(self.cache, ARM64)
        self.assertEqual(len(self.calls), 4)

    def test_guests_of_this_machine_s_processor_have_the_build_root(self):
        self.machine = "aarch64"
        self.assertEqual(guest_root.ensure(self.cache, ARM64), self.cache.build_root)
        self.assertEqual(self.calls, [])

    def test_apt_has_the_packages_of_the_processor(self):
        asked = []
        with mock.patch("xenrust.build_root.output", lambda _cache, argv, cwd: asked.append(argv)):
            for processor in (None, Processor.X86_64, ARM64):
                build_root.apt_cache(self.cache, ["show", "x"], processor)
        self.assertEqual(asked[:2], [["apt-cache", "show", "x"]] * 2)
        self.assertIn(f"Dir={self.cache.root}/guest-root-arm64", asked[2])
        self.assertIn("APT::Architecture=arm64", asked[2])


if __name__ == "__main__":
    unittest.main()
