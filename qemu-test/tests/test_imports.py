# SPDX-License-Identifier: GPL-2.0
"""No file of the harness imports upwards or in a circle."""

import ast
import graphlib
import pathlib
import tempfile
import unittest

HARNESS = pathlib.Path(__file__).resolve().parents[1] / "harness"

# Each folder may import from those before it, and from the files beside them.
FOLDERS = ("harness.architecture", "harness.engine", "harness.suites", "harness.commands")


def module_name(path, root):
    """Name of the module in a file below ROOT, the folder of the package."""
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(root):
    """The modules of the package in ROOT by name, each with those that it imports from there."""
    files = {module_name(path, root): path for path in root.rglob("*.py")}
    found = {}
    for name, path in files.items():
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = package[:len(package) - node.level + 1]
                source = ".".join(base + ([node.module] if node.module else []))
                modules = {f"{source}.{one.name}" for one in node.names}
                found[name].update(modules & files.keys() or {source} & files.keys())
    return found


class Imports(unittest.TestCase):
    def test_no_circle(self):
        order = list(graphlib.TopologicalSorter(imports(HARNESS)).static_order())
        self.assertLess(order.index("harness.machine"), order.index("harness.boot"))

    def test_no_folder_imports_from_one_above_it(self):
        for name, others in imports(HARNESS).items():
            levels = [number for number, folder in enumerate(FOLDERS) if name.startswith(folder)]
            above = FOLDERS[levels[0] + 1:] if levels else FOLDERS[1:]
            for other in others:
                self.assertFalse(other.startswith(above), f"{name} imports {other}")

    def test_a_circle_is_found(self):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name, "package")
            (root / "inner").mkdir(parents=True)
            (root / "a.py").write_text("from .inner import b\n", encoding="utf-8")
            (root / "inner/b.py").write_text("from ..c import x\n", encoding="utf-8")
            (root / "c.py").write_text("def f():\n    from . import a\n", encoding="utf-8")
            with self.assertRaises(graphlib.CycleError):
                list(graphlib.TopologicalSorter(imports(root)).static_order())
