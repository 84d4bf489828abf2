# SPDX-License-Identifier: GPL-2.0
"""No file of the package imports itself by way of others."""

import ast
import graphlib
import pathlib
import tempfile
import unittest

from xenrust.cache import REPOSITORY


def imports(folder):
    """The files of a package by name, each with those that it imports from there."""
    names = {path.stem for path in folder.glob("*.py")}
    found = {}
    for path in folder.glob("*.py"):
        found[path.stem] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                imported = [node.module] if node.module else [name.name for name in node.names]
                found[path.stem].update(names.intersection(imported))
    return found


class Imports(unittest.TestCase):
    def test_no_circle(self):
        found = imports(REPOSITORY / "scripts/xenrust")
        order = list(graphlib.TopologicalSorter(found).static_order())
        self.assertLess(order.index("failure"), order.index("build_root"))

    def test_a_circle_is_found(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "a.py").write_text("from . import b\n", encoding="utf-8")
            (folder / "b.py").write_text("from .c import x\n", encoding="utf-8")
            (folder / "c.py").write_text("def f():\n    from .a import y\n", encoding="utf-8")
            with self.assertRaises(graphlib.CycleError):
                list(graphlib.TopologicalSorter(imports(folder)).static_order())


if __name__ == "__main__":
    unittest.main()
