# SPDX-License-Identifier: GPL-2.0
"""The C driver is changed in one place, or not at all."""

import pathlib
import tempfile
import unittest

from xenrust import c_driver
from xenrust.failure import Failure

STATEMENT = "\tmap->flags |= GNTMAP_device_map;\n"
OTHERS = "\tflags = map->flags & ~GNTMAP_device_map;\n\tif (flags & GNTMAP_device_map)\n"


class ChangeTest(unittest.TestCase):

    def test_the_statement_goes_and_all_else_stays(self):
        text = f"first\n{STATEMENT}{OTHERS}last\n"
        self.assertEqual(c_driver.without_device_map(text), f"first\n{OTHERS}last\n")

    def test_no_or_several_statements_are_a_failure(self):
        for text in ("", OTHERS, STATEMENT * 2, "map->flags |= GNTMAP_device_map | OTHER;\n"):
            with self.subTest(text), self.assertRaises(Failure):
                c_driver.without_device_map(text)

    def test_the_module_is_made_of_all_its_files(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "gntdev").mkdir()
            for file in ("gntdev.c", "gntdev-common.h", "gntalloc.c"):
                (folder / file).write_text(file, encoding="utf-8")
            (folder / "gntdev-dmabuf.c").write_text(STATEMENT, encoding="utf-8")
            files = c_driver.changed_files(folder)
        self.assertEqual(files, {
            "gntdev.c": "gntdev.c", "gntdev-common.h": "gntdev-common.h", "gntdev-dmabuf.c": "",
            "Kbuild": "obj-m := xen-gntdev.o\nxen-gntdev-y := gntdev-dmabuf.o gntdev.o\n"})

    def test_a_tree_without_the_driver_is_a_failure(self):
        with tempfile.TemporaryDirectory() as name, self.assertRaises(Failure):
            c_driver.changed_files(pathlib.Path(name))


if __name__ == "__main__":
    unittest.main()
