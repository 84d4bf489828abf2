# SPDX-License-Identifier: GPL-2.0
"""The host's cargo settings for the network come along, and nothing else of them."""

import os
import pathlib
import tempfile
import unittest
from unittest import mock

from xenrust import guest

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


if __name__ == "__main__":
    unittest.main()
