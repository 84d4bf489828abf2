# SPDX-License-Identifier: GPL-2.0
"""Config fragments are merged in order, and what Kconfig dropped is found."""

import pathlib
import tempfile
import unittest

from xenrust import kernel, kernel_source


class ConfigTest(unittest.TestCase):

    def test_later_fragment_decides(self):
        merged = kernel.merge(["CONFIG_A=y\nCONFIG_B=m\n", "# CONFIG_A is not set\nCONFIG_B=y\n"])
        self.assertEqual(merged, {"CONFIG_A": "n", "CONFIG_B": "y"})

    def test_comments_and_blank_lines_are_no_options(self):
        self.assertEqual(kernel.merge(["# CONFIG_A=y\n\n# a word\n"]), {})

    def test_value_may_hold_an_equals_sign(self):
        self.assertEqual(kernel.merge(['CONFIG_CMDLINE="a=b"']), {"CONFIG_CMDLINE": '"a=b"'})

    def test_dropped_and_changed_options_are_missing(self):
        fragment = {"CONFIG_A": "y", "CONFIG_B": "m", "CONFIG_C": "n", "CONFIG_D": "y"}
        config = "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_D is not set\n"
        self.assertEqual(kernel.missing(fragment, config), ["CONFIG_B=m", "CONFIG_D=y"])

    def test_option_that_should_be_off_but_is_on_is_missing(self):
        self.assertEqual(kernel.missing({"CONFIG_A": "n"}, "CONFIG_A=y\n"), ["CONFIG_A=n"])

    def test_every_kernel_has_its_fragments(self):
        for config, names in kernel.FRAGMENTS.items():
            merged = kernel.merge([(kernel.CONFIGS / name).read_text("utf-8") for name in names])
            self.assertEqual(merged["CONFIG_XEN_GNTDEV"], "m", config)


class SourceTest(unittest.TestCase):

    def test_newest_tree_of_the_lowest_series_is_used(self):
        with tempfile.TemporaryDirectory() as folder:
            class FakeCache:
                linux = pathlib.Path(folder)
            for name in ("7.2.9", "7.2.12", "7.3.1", "fetch.partial"):
                (FakeCache.linux / name).mkdir()
            self.assertEqual(kernel_source.ensure(FakeCache).name, "7.2.12")

    def test_version(self):
        with tempfile.TemporaryDirectory() as folder:
            tree = pathlib.Path(folder)
            (tree / "Kbuild").touch()
            (tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\n"
                                           "EXTRAVERSION = -rc4\n", encoding="utf-8")
            self.assertEqual(kernel_source.version(tree), "7.3.0")
            self.assertEqual(kernel_source.series(tree), "7.3")


if __name__ == "__main__":
    unittest.main()
