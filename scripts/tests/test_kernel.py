# SPDX-License-Identifier: GPL-2.0
"""Config fragments are merged in order, and what Kconfig dropped is found."""

import pathlib
import tempfile
import types
import unittest
from unittest import mock

from xenrust import kernel, kernel_source
from xenrust.failure import Failure


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

    def test_newest_tree_of_the_lowest_supported_series_is_used(self):
        with tempfile.TemporaryDirectory() as folder:
            class FakeCache:
                linux = pathlib.Path(folder)
            for name in ("7.1.20", "7.2.9", "7.2.12", "7.3.1", "fetch.partial"):
                (FakeCache.linux / name).mkdir()
            self.assertEqual(kernel_source.ensure(FakeCache).name, "7.2.12")

    def test_copy_of_a_tree_has_its_files_and_is_made_once(self):
        with tempfile.TemporaryDirectory() as folder:
            class FakeCache:
                linux = pathlib.Path(folder)
            tree = FakeCache.linux / "7.2.9"
            (tree / "arch").mkdir(parents=True)
            (tree / "arch/setup.c").write_text("one", encoding="utf-8")
            copy = kernel_source.copy(FakeCache, tree, "kasan")
            self.assertEqual((copy / "arch/setup.c").read_text("utf-8"), "one")
            self.assertEqual(kernel_source.ensure(FakeCache), tree)
            (copy / "arch/own.c").touch()
            self.assertEqual(kernel_source.copy(FakeCache, tree, "kasan"), copy)
            self.assertTrue((copy / "arch/own.c").exists())
            self.assertFalse((tree / "arch/own.c").exists())

    def test_package_is_of_a_supported_series(self):
        names = [f"linux-source-{series} - Linux kernel source" for series in ("7.1", "7.3", "7.4")]
        with mock.patch.object(kernel_source.build_root, "output", return_value="\n".join(names)):
            self.assertEqual(kernel_source._package(None), "linux-source-7.3")
        with mock.patch.object(kernel_source.build_root, "output", return_value=names[2]), \
                self.assertRaisesRegex(Failure, "it has linux-source-7.4"):
            kernel_source._package(None)

    def test_version(self):
        with tempfile.TemporaryDirectory() as folder:
            tree = pathlib.Path(folder)
            (tree / "Kbuild").touch()
            (tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\n"
                                           "EXTRAVERSION = -rc4\n", encoding="utf-8")
            self.assertEqual(kernel_source.version(tree), "7.3.0")
            self.assertEqual(kernel_source.series(tree), "7.3")


class FakeBuild(kernel.Build):
    """A build whose make only writes down what it was asked for, or fails."""

    def __init__(self, folder):
        cache = types.SimpleNamespace(kernel=folder, log=folder, require_space=lambda *_: None)
        super().__init__(cache, folder / "tree", "dom0", "dom0")
        self.made = []
        self.fails = False
        self.tree.mkdir()
        (self.tree / "Kbuild").touch()
        (self.tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 1\n", "utf-8")

    def make(self, targets, failed, variables=(), title=None):
        self.made += targets
        if self.fails:
            raise Failure(failed)
        if "allnoconfig" in targets:
            fragment = self.folder / "fragment.config"
            (self.folder / ".config").write_text(fragment.read_text("utf-8"), "utf-8")
        if "bzImage" in targets:
            (self.folder / kernel.IMAGE).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / kernel.IMAGE).touch()

    def ensure_digest(self, digest, only_module=False):
        """Bring the build up to date with an overlay of this digest; return what was made."""
        self.made = []
        self.ensure(types.SimpleNamespace(digest=lambda: digest), only_module)
        return self.made


class BuildTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = FakeBuild(pathlib.Path(folder.name))

    def test_architecture_is_that_of_the_kernel(self):
        self.assertFalse([word for word in self.build.variables() if word.startswith("ARCH=")])
        self.build.config = "arm64"
        self.assertIn("ARCH=arm64", self.build.variables())

    def test_first_build_configures_and_makes_everything(self):
        self.assertEqual(self.build.ensure_digest("one"),
                         ["allnoconfig", "rustavailable", "bzImage", "modules"])

    def test_nothing_is_made_twice(self):
        self.build.ensure_digest("one")
        self.assertEqual(self.build.ensure_digest("one"), [])

    def test_changed_overlay_is_made_without_configuring(self):
        self.build.ensure_digest("one")
        self.assertEqual(self.build.ensure_digest("two"), ["bzImage", "modules"])

    def test_module_alone(self):
        self.build.ensure_digest("one")
        self.assertEqual(self.build.ensure_digest("two", only_module=True), [*kernel.MODULES])
        self.assertEqual(self.build.ensure_digest("two"), ["bzImage", "modules"])

    def test_module_of_a_kernel_that_was_never_built(self):
        self.assertIn("bzImage", self.build.ensure_digest("one", only_module=True))

    def test_failed_build_does_not_count_as_the_one_before_it(self):
        self.build.ensure_digest("one")
        self.build.fails = True
        with self.assertRaises(Failure):
            self.build.ensure_digest("two")
        self.build.fails = False
        self.assertEqual(self.build.ensure_digest("one"), ["bzImage", "modules"])

    def test_a_configuration_that_failed_is_not_taken_for_the_one_before_it(self):
        self.build.ensure_digest("one")
        self.build._fragment = lambda: {"CONFIG_OTHER": "y"}
        self.build.fails = True
        with self.assertRaises(Failure):
            self.build.ensure_digest("two")
        self.build.fails = False
        del self.build._fragment
        self.assertIn("allnoconfig", self.build.ensure_digest("two"))

    def test_option_that_kconfig_drops_stops_the_build(self):
        lost = kernel.missing
        self.addCleanup(setattr, kernel, "missing", lost)
        kernel.missing = lambda fragment, config: lost({**fragment, "CONFIG_LOST": "y"}, config)
        with self.assertRaisesRegex(Failure, "the configuration lost CONFIG_LOST=y;"):
            self.build.ensure_digest("one")


if __name__ == "__main__":
    unittest.main()
