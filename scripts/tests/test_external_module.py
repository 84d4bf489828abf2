# SPDX-License-Identifier: GPL-2.0
"""Builds of the module for other kernels: their order, and the refusal of a module that does not
fit."""

import pathlib
import tempfile
import unittest

from xenrust.debian_kernel import DebianKernel
from xenrust.external_module import ExternalModule
from xenrust.failure import Failure

from . import fitting_kernel

RELEASE = "7.2.12+deb13-amd64"


class FakeTools:
    """Tools that do what make, nm and objcopy do to the files that matter here."""

    def __init__(self):
        self.made = []
        self.says = {"rustc": fitting_kernel.RUSTC, "bindgen": "bindgen 0.71.1",
                     "x86_64-linux-gnu-gcc-14": fitting_kernel.CC,
                     "x86_64-linux-gnu-nm": "    U gnttab_map_refs\n"}
        self.release = RELEASE
        self.config = fitting_kernel.CONFIG
        self.module = fitting_kernel.module()

    def output(self, argv):
        return self.says.get(argv[0])

    def run(self, _step, argv, failed, cwd="/"):
        variables = dict(word.split("=", 1) for word in argv if "=" in str(word))
        if argv[0].endswith("-linux-gnu-objcopy"):
            pathlib.Path(argv[-1]).write_bytes(pathlib.Path(argv[-2]).read_bytes())
        elif argv[-1] == "modules":
            self.made.append("module")
            self.variables_of_module = variables
            folder = pathlib.Path(variables["MO"])
            (folder / "xen_gntdev_rust.ko").write_bytes(self.module)
        else:
            self.made.append("metadata")
            self.variables = variables
            folder = pathlib.Path(variables["O"])
            (folder / ".config").write_text(self.config, encoding="utf-8")
            (folder / "include/config").mkdir(parents=True)
            (folder / "include/config/kernel.release").write_text(f"{self.release}\n",
                                                                  encoding="utf-8")


class Build(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.source = self.folder / "source"
        headers = self.folder / "headers"
        headers.mkdir()
        (headers / ".config").write_text(fitting_kernel.CONFIG, encoding="utf-8")
        (headers / "Module.symvers").write_text(fitting_kernel.SYMVERS, encoding="utf-8")
        self.source.mkdir()
        (self.source / "Kbuild").touch()
        self.write_version("7", "2", "12")
        self.kernel = DebianKernel(RELEASE, "7.2.12-1", headers, self.source, None)
        self.tools = FakeTools()

    def write_version(self, *numbers):
        names = ("VERSION", "PATCHLEVEL", "SUBLEVEL")
        (self.source / "Makefile").write_text(
            "".join(f"{name} = {number}\n" for name, number in zip(names, numbers)),
            encoding="utf-8")

    def build(self, shipped=None):
        module = ExternalModule(self.kernel, self.tools, self.folder / "out",
                                self.folder / "log")
        return module.build(shipped)

    def assert_stops(self, pattern, shipped=None):
        with self.assertRaisesRegex(Failure, pattern):
            self.build(shipped)
        self.assertFalse((self.folder / "out/xen_gntdev_rust.ko").exists())

    def test_metadata_are_made_once(self):
        for _ in range(2):
            self.assertEqual(self.build().read_bytes(), self.tools.module)
        self.assertEqual(self.tools.made, ["metadata", "module", "module"])
        self.assertEqual((self.folder / "out/metadata/Module.symvers").read_text(encoding="utf-8"),
                         fitting_kernel.SYMVERS)

    def test_how_make_is_called(self):
        self.build()
        self.assertEqual(self.tools.variables["LOCALVERSION"], "+deb13-amd64")
        self.assertEqual(self.tools.variables["CC"], "x86_64-linux-gnu-gcc-14")
        self.assertEqual(self.tools.variables["CROSS_COMPILE"], "x86_64-linux-gnu-")

    def test_a_kernel_for_another_processor(self):
        self.build()
        self.assertEqual(self.tools.variables["ARCH"], "x86")
        self.tools.config = fitting_kernel.CONFIG.replace("x86_64-linux", "aarch64-linux")
        self.tools.config += "CONFIG_ARM64=y\n"
        (self.kernel.headers / ".config").write_text(self.tools.config, encoding="utf-8")
        self.tools.says = {name.replace("x86_64-", "aarch64-"): text.replace("x86_64-", "aarch64-")
                           for name, text in self.tools.says.items()}
        self.build()
        for variables in (self.tools.variables, self.tools.variables_of_module):
            self.assertEqual(variables["ARCH"], "arm64")
            self.assertEqual(variables["CC"], "aarch64-linux-gnu-gcc-14")
            self.assertEqual(variables["CROSS_COMPILE"], "aarch64-linux-gnu-")

    def test_missing_symbols_are_left_to_our_own_check(self):
        self.build()
        self.assertEqual(self.tools.variables_of_module["KBUILD_MODPOST_WARN"], "1")

    def test_another_compiler_makes_them_anew(self):
        self.build()
        self.tools.says["x86_64-linux-gnu-gcc-14"] = "x86_64-linux-gnu-gcc-14 (Debian) 14.3.0"
        self.build()
        self.assertEqual(self.tools.made.count("metadata"), 2)

    def test_half_made_metadata_are_made_anew(self):
        self.tools.release = "7.2.12"
        self.assert_stops("release is 7.2.12[+]deb13-amd64, that of the source .* is 7.2.12$")
        self.tools.release = RELEASE
        self.build()
        self.assertEqual(self.tools.made, ["metadata", "metadata", "module"])

    def test_nothing_is_made_with_the_wrong_compiler(self):
        self.tools.says["rustc"] = "rustc 1.96.1"
        self.assert_stops("built with rustc 1.85.1 .*, this is rustc 1.96.1")
        self.assertEqual(self.tools.made, [])

    def test_source_of_another_version(self):
        self.write_version("7", "2", "11")
        self.assert_stops("release is 7.2.12[+]deb13-amd64, that of the source .* is 7.2.11")

    def test_configuration_that_comes_out_otherwise(self):
        self.tools.config += "CONFIG_RANDSTRUCT=y\n"
        self.assert_stops("CONFIG_RANDSTRUCT is n in the kernel, but would be y here")

    def test_symbol_that_the_kernel_lacks(self):
        self.tools.says["x86_64-linux-gnu-nm"] += "    U _RNvNtCs_6kernel\n"
        self.assert_stops("the module needs _RNvNtCs_6kernel")

    def test_tool_that_shows_no_symbols(self):
        self.tools.says["x86_64-linux-gnu-nm"] = None
        self.assert_stops("0 undefined symbols")

    def test_other_version_magic(self):
        shipped = fitting_kernel.module(f"{RELEASE} SMP preempt mod_unload ")
        self.assert_stops("version magic '.* mod_unload ', the module's is '.* modversions '",
                          shipped)

    def test_misfit_does_not_leave_the_last_module(self):
        self.build()
        self.tools.module = fitting_kernel.module("7.2.11 ")
        self.assert_stops("version magic")
