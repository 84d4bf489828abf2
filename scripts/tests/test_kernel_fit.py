# SPDX-License-Identifier: GPL-2.0
"""Match of a module and a kernel: each mismatch is found, and named with both values."""

import re
import unittest

from xenrust import kernel_fit
from xenrust.cache import REPOSITORY

from .fitting_kernel import CC, CONFIG, RUSTC, SYMVERS, TOOLS, VERMAGIC, module


class Config(unittest.TestCase):
    def test_fits(self):
        self.assertEqual(kernel_fit.config_problems(CONFIG), [])

    def test_each_option_is_needed(self):
        for name in kernel_fit.NEEDED_OPTIONS:
            off = CONFIG.replace(f"{name}=y\n", f"# {name} is not set\n")
            self.assertEqual(kernel_fit.config_problems(off),
                             [f"the kernel has {name}=n, the driver needs {name}=y"])

    def test_driver_in_the_kernel(self):
        problems = kernel_fit.config_problems(CONFIG.replace("GNTDEV=m", "GNTDEV=y"))
        self.assertRegex(problems[0], "has CONFIG_XEN_GNTDEV=y.*needs CONFIG_XEN_GNTDEV=m")

    def test_no_driver_in_the_kernel_will_do(self):
        self.assertEqual(
            kernel_fit.config_problems(CONFIG.replace("CONFIG_XEN_GNTDEV=m\n", "")), [])

    def test_what_kconfig_wants_is_needed(self):
        text = (REPOSITORY / "drivers/xen/gntdev/Kconfig").read_text(encoding="utf-8")
        driver = text.partition("config XEN_GNTDEV_RUST\n")[2].partition("\nconfig ")[0]
        wanted = set(re.findall(r"^\tselect (\w+)$", driver, re.M))
        for line in re.findall(r"^\tdepends on ([\w &]+)$", driver, re.M):
            wanted |= set(line.split(" && "))
        self.assertEqual({f"CONFIG_{name}" for name in wanted},
                         set(kernel_fit.NEEDED_OPTIONS) - {"CONFIG_MODULES"})

    def test_differences(self):
        self.assertEqual(kernel_fit.config_differences("CONFIG_A=y\n", "CONFIG_A=y\n"), [])
        self.assertEqual(kernel_fit.config_differences("CONFIG_A=y\n", "# CONFIG_A is not set\n"),
                         ["CONFIG_A is y in the kernel, but would be n here"])
        self.assertEqual(kernel_fit.config_differences("", "CONFIG_B=m\n"),
                         ["CONFIG_B is n in the kernel, but would be m here"])

    def test_versions_of_tools_are_no_difference(self):
        self.assertEqual(kernel_fit.config_differences("CONFIG_PAHOLE_VERSION=130\n",
                                                       "CONFIG_PAHOLE_VERSION=131\n"), [])
        self.assertEqual(kernel_fit.config_differences("CONFIG_COMPAT_VDSO=y\n", ""), [])


class Tools(unittest.TestCase):
    def problems(self, **others):
        return kernel_fit.tool_problems(CONFIG, **{**TOOLS, **others})

    def test_fits(self):
        self.assertEqual(self.problems(), [])

    def test_name_of_the_compiler(self):
        self.assertEqual(kernel_fit.compiler(CONFIG), "x86_64-linux-gnu-gcc-14")
        self.assertEqual(kernel_fit.compiler(""), "gcc")

    def test_other_rustc(self):
        for other in ("rustc 1.86.0 (05f9846f8 2025-03-31)",
                      # Another build of the same version gives other names to all functions.
                      "rustc 1.85.1 (4eb161250 2025-03-15)"):
            self.assertEqual(self.problems(rustc=other),
                             [f"the kernel was built with {RUSTC}, this is {other}"])

    def test_other_bindgen(self):
        self.assertEqual(self.problems(bindgen="bindgen 0.70.0"),
                         ["the kernel was built with bindgen 0.71.1, this is bindgen 0.70.0"])

    def test_another_patch_level_of_gcc_will_do(self):
        self.assertEqual(self.problems(cc="gcc-14 (Debian 14.3.0-1) 14.3.0"), [])

    def test_other_compilers(self):
        for other in ("gcc-13 (Debian 13.2.0-1) 13.2.0", "Debian clang version 14.0.6"):
            self.assertEqual(self.problems(cc=other),
                             [f"the kernel was built with {CC}, this is {other}"])

    def test_missing_tools(self):
        missing = self.problems(rustc=None, bindgen=None, cc=None)
        self.assertEqual([text.rpartition("this is ")[2] for text in missing],
                         ["no rustc", "no bindgen", "no x86_64-linux-gnu-gcc-14"])

    def test_kernel_that_names_no_tools(self):
        self.assertEqual(len(kernel_fit.tool_problems("", **TOOLS)), 3)
        self.assertTrue(kernel_fit.tool_problems("", None, None, None))


class Release(unittest.TestCase):
    def test_release(self):
        self.assertEqual(kernel_fit.release_problems("7.2.12+deb13-amd64", "7.2.12+deb13-amd64"),
                         [])
        self.assertEqual(kernel_fit.release_problems("7.2.12+deb13-amd64", "7.2.12"),
                         ["the kernel's release is 7.2.12+deb13-amd64, that of the source as "
                          "configured here is 7.2.12"])


class Symbols(unittest.TestCase):
    def test_fits(self):
        self.assertEqual(kernel_fit.symbol_problems(
            "                 U gnttab_map_refs\n                 U dma_buf_export\n"
            "                 w maybe\n", SYMVERS), [])

    def test_missing_symbol_is_named(self):
        self.assertEqual(
            kernel_fit.symbol_problems("    U gnttab_map_refs\n    U _RNvNtCs_6kernel\n", SYMVERS),
            ["the module needs _RNvNtCs_6kernel, the kernel's Module.symvers has no such symbol"])

    def test_nothing_to_compare_is_no_fit(self):
        self.assertTrue(kernel_fit.symbol_problems("", SYMVERS))
        self.assertTrue(kernel_fit.symbol_problems("    U gnttab_map_refs\n", ""))


class Vermagic(unittest.TestCase):
    RELEASE = "7.2.12+deb13-amd64"

    def test_fits(self):
        self.assertEqual(kernel_fit.vermagic_problems(module(), self.RELEASE, module()), [])
        self.assertEqual(kernel_fit.vermagic_problems(module(), self.RELEASE), [])

    def test_other_flags(self):
        ours = VERMAGIC.replace("preempt ", "")
        self.assertEqual(
            kernel_fit.vermagic_problems(module(ours), self.RELEASE, module()),
            [f"the kernel wants modules with the version magic '{VERMAGIC}', the module's is "
             f"'{ours}'"])

    def test_other_release(self):
        for shipped in (None, module()):
            self.assertTrue(kernel_fit.vermagic_problems(
                module(VERMAGIC.replace("7.2.12", "7.2.11")), self.RELEASE, shipped))

    def test_none(self):
        self.assertTrue(kernel_fit.vermagic_problems(b"\x7fELF", self.RELEASE))
        self.assertTrue(kernel_fit.vermagic_problems(module(), self.RELEASE, b"\x7fELF"))
