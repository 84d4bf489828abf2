# SPDX-License-Identifier: GPL-2.0
"""Circles and upward arrows among the imports of drivers/xen are found, and nothing else is."""

import unittest

from xenrust import import_rules
from xenrust.cache import REPOSITORY

KERNEL = "drivers/xen/rust/kernel/"
GRANT = "drivers/xen/rust/grant/"
GNTDEV = "drivers/xen/gntdev/"
EVENTS = "drivers/xen/events/"

# A driver in small: two rooms, and a crate root over them.
SMALL = {
    "drivers/xen/rust/mod.rs": "mod bindings;\nmod grant;\nmod kernel;\n",
    "drivers/xen/rust/bindings.rs": "use kernel::ffi;\n",
    KERNEL + "mod.rs": "mod vma;\nmod pages;\n",
    KERNEL + "vma.rs": "use super::pages::Pages;\nuse crate::xen::bindings;\n",
    KERNEL + "pages.rs": "use kernel::prelude::*;\n",
    GRANT + "mod.rs": "mod mapping;\nmod unmap;\n",
    GRANT + "mapping.rs": "use super::unmap;\nuse crate::xen::{bindings, kernel::{vma::{self}}};\n",
    GRANT + "unmap.rs": "",
    GNTDEV + "gntdev.rs": "mod xen;\nmod region;\nmod limits;\nuse crate::region::Region;\n"
                          "module! {\n}\n",
    GNTDEV + "region.rs": "use crate::{\n    limits,\n    xen::grant::mapping::Mapping, //\n};\n",
    GNTDEV + "limits.rs": "",
}


def small(**changes):
    """Return the small driver with the files whose names are in CHANGES replaced or added."""
    places = {"vma": KERNEL, "pages": KERNEL, "mapping": GRANT, "unmap": GRANT, "region": GNTDEV,
              "limits": GNTDEV, "port_ops": EVENTS, "bindings": "drivers/xen/rust/"}
    return {**SMALL, **{places[name] + name + ".rs": text for name, text in changes.items()}}


class ImportRulesTest(unittest.TestCase):

    def only_problem(self, sources):
        found = import_rules.problems(sources)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_clean_driver(self):
        self.assertEqual(import_rules.problems(SMALL), [])

    def test_circle_of_two(self):
        problem = self.only_problem(small(limits="use crate::region::Region;\n"))
        self.assertIn("files import each other", problem)
        self.assertIn(f"{GNTDEV}region.rs -> {GNTDEV}limits.rs -> {GNTDEV}region.rs", problem)

    def test_circle_of_three(self):
        problem = self.only_problem(small(
            limits="use crate::other::Other;\n", region="use crate::limits;\n") | {
                GNTDEV + "other.rs": "fn f() -> crate::region::Region {}\n"})
        self.assertIn("limits.rs", problem)
        self.assertIn("other.rs", problem)
        self.assertIn("region.rs", problem)

    def test_circle_with_the_crate_root(self):
        self.assertIn("gntdev.rs", self.only_problem(small(region="use crate::LIMIT;\n")))

    def test_circle_through_a_reexport(self):
        problem = self.only_problem({
            **SMALL,
            GRANT + "mod.rs": "mod mapping;\nmod unmap;\npub(crate) use mapping::Mapping;\n",
            GRANT + "mapping.rs": "use super::{unmap, Access};\n"})
        self.assertIn(f"{GRANT}mod.rs", problem)

    def test_upward_arrow_between_rooms(self):
        problem = self.only_problem(small(pages="\nuse crate::xen::{\n    grant::unmap, //\n};\n"))
        self.assertEqual(problem, f"{KERNEL}pages.rs:2: rust/kernel may not use rust/grant: "
                                  f"{GRANT}unmap.rs")

    def test_upward_arrow_by_super(self):
        self.assertIn("rust/kernel may not use rust/grant",
                      self.only_problem(small(pages="use super::super::grant::unmap;\n")))

    def test_upward_arrow_in_a_macro(self):
        text = "macro_rules! m {\n    () => {\n        $crate::xen::grant::unmap::f()\n    };\n}\n"
        self.assertIn("rust/kernel may not use rust/grant", self.only_problem(small(pages=text)))

    def test_room_that_uses_a_driver(self):
        self.assertIn("no file of drivers/xen",
                      self.only_problem(small(pages="use crate::region::Region;\n")))

    def test_driver_that_uses_a_room_of_another(self):
        self.assertIn("events may not use rust/grant", self.only_problem(
            small(port_ops="use crate::xen::grant::unmap;\n")))

    def test_bindings_use_no_room(self):
        self.assertIn("rust may not use rust/kernel", self.only_problem(
            small(bindings="use crate::xen::kernel::pages::Pages;\n")))

    def test_paths_in_prose_and_strings_are_no_imports(self):
        text = ('//! See [`crate::region::Region`].\n'
                'const A: &str = "crate::region"; // crate::region\n')
        self.assertEqual(import_rules.problems(small(limits=text)), [])

    def test_super_within_a_file(self):
        text = ("mod tests {\n    use super::*;\n"
                "    mod inner {\n        use super::super::f;\n    }\n}\n")
        self.assertEqual(import_rules.problems(small(limits=text)), [])

    def test_this_repository(self):
        sources = {str(path.relative_to(REPOSITORY)): path.read_text(encoding="utf-8")
                   for path in (REPOSITORY / "drivers/xen").rglob("*.rs")}
        self.assertEqual(import_rules.problems(sources), [])
        crates = import_rules.Crates(sources)
        edges = {(path, target) for path, _, target in crates.imports()}
        self.assertIn((GNTDEV + "region.rs", GRANT + "mapping.rs"), edges)
        self.assertIn((GRANT + "mapping.rs", GRANT + "deferred.rs"), edges)
        self.assertIn((EVENTS + "event_word.rs", "drivers/xen/rust/event/locked_word.rs"), edges)


if __name__ == "__main__":
    unittest.main()
