# SPDX-License-Identifier: GPL-2.0
"""The order in which kernel modules are loaded."""

import pathlib
import tempfile
import unittest

from harness import kernel_modules

NEEDS = {"bochs": "drm_kms_helper,drm", "drm_kms_helper": "drm", "drm": "i2c-core,built_in",
         "i2c-core": "", "other": ""}


class LoadOrder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.files = []
        for name, needs in NEEDS.items():
            file = pathlib.Path(folder.name, f"{name}.ko")
            file.write_bytes(b"\x7fELF\0license=GPL\0depends=" + needs.encode() + b"\0name=x\0")
            self.files.append(file)

    def order(self, name):
        return [file.stem for file in kernel_modules.with_needs(name, self.files)]

    def test_what_is_needed_comes_first_and_once(self):
        self.assertEqual(self.order("bochs"), ["i2c-core", "drm", "drm_kms_helper", "bochs"])

    def test_alone(self):
        self.assertEqual(self.order("i2c_core"), ["i2c-core"])

    def test_no_such_module(self):
        self.assertIsNone(kernel_modules.with_needs("vgem", self.files))
