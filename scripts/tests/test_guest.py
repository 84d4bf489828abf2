# SPDX-License-Identifier: GPL-2.0
"""The host's cargo settings for the network come along, and nothing else of them."""

import os
import pathlib
import tempfile
import tomllib
import unittest
from unittest import mock

from xenrust import guest
from xenrust.cache import Cache
from xenrust.processor import Processor

CONFIG = """[build]
rustflags = ["-C", "target-cpu=native"]

[source.mine]
registry = "sparse+https://mirror.example/"

[target.x86_64-unknown-linux-gnu]
linker = "mold"

[http]
proxy = "proxy.example:3128"
"""

EXPECTED = """[source.mine]
registry = "sparse+https://mirror.example/"

[http]
proxy = "proxy.example:3128"
"""


class NetworkSettingsTest(unittest.TestCase):

    def settings(self, name=None):
        with tempfile.TemporaryDirectory() as folder:
            if name:
                pathlib.Path(folder, name).write_text(CONFIG, encoding="utf-8")
            with mock.patch.dict(os.environ, {"CARGO_HOME": folder}):
                return guest.host_network_settings()

    def test_network_tables_are_kept(self):
        for name in ("config.toml", "config"):
            self.assertEqual(self.settings(name), EXPECTED)

    def test_no_configuration(self):
        self.assertEqual(self.settings(), "")


class Selection(unittest.TestCase):
    """Cargo builds all programs, or those that were asked for."""

    def built(self, *arguments, processor=Processor.X86_64):
        """Command and workspace of each run of cargo."""
        runs = []

        def run(_cache, _step, argv, failed, cwd):
            runs.append((cwd, argv))

        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.dict(os.environ, {"CACHE": f"{folder}/cache"}), \
                mock.patch("platform.machine", lambda: "x86_64"), \
                mock.patch("xenrust.guest_root.ensure") as ensure, \
                mock.patch("xenrust.build_root.run_logged", run):
            self.cache = Cache()
            self.folder = guest.ensure(self.cache, *arguments, processor=processor)
        ensure.assert_called_once_with(self.cache, processor)
        return runs

    def test_all(self):
        self.assertEqual(self.built(), [(workspace, ["cargo", "build", "--locked", "--release"])
                                        for workspace in guest.WORKSPACES])

    def test_some(self):
        wanted = {guest.TEST_PROGRAMS: ("read-pages", "share-pages"),
                  guest.LIBRARY: ("show-frame",)}
        self.assertEqual(
            [argv[3:] for _, argv in self.built(wanted)],
            [["--release", "--bin", "read-pages", "--bin", "share-pages"],
             ["--release", "--bin", "show-frame"]])

    def test_for_another_processor(self):
        _, argv = self.built({guest.LIBRARY: ()}, processor=Processor.ARM64)[0]
        target = "aarch64-unknown-linux-gnu"
        self.assertEqual(argv[3:6], ["--release", "--target", target])
        settings = tomllib.loads("\n".join(
            argv[at + 1] for at, word in enumerate(argv) if word == "--config"))["target"][target]
        self.assertEqual(settings["linker"], "aarch64-linux-gnu-gcc")
        libraries = self.cache.root / "guest-root-arm64/usr/lib"
        self.assertIn(f"-L{libraries / 'aarch64-linux-gnu'}", settings["rustflags"])
        self.assertIn(f"-L{libraries / 'rustlib' / target / 'lib'}", settings["rustflags"])
        self.assertEqual(self.folder, self.cache.target / target / "release")
        self.built({}, processor=Processor.X86_64)
        self.assertEqual(self.folder, self.cache.target / "release")


if __name__ == "__main__":
    unittest.main()
