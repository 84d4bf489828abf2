# SPDX-License-Identifier: GPL-2.0
"""Each rule of the repository catches what it is there for, and nothing else."""

import unittest

from xenrust import rules

HEAD = "// SPDX-License-Identifier: GPL-2.0\n"
SAFE = HEAD + "#![forbid(unsafe_code)]\n"


class RulesTest(unittest.TestCase):

    def complaint(self, path, text):
        """Return what is wrong, without the place."""
        return [line.split(": ", 1)[1] for line in rules.problems(path, text)]

    def test_clean_files(self):
        for path, text in (("drivers/xen/gntdev/region.rs", SAFE + "// No unsafe code here.\n"),
                           ("drivers/xen/gntdev/gntdev.rs", HEAD + "module! {\n}\n"),
                           ("drivers/xen/gntdev/parameters.rs", HEAD + "uint_param! {\n}\n"),
                           ("drivers/xen/rust/grant/frames.rs", HEAD + "unsafe { f() }\n"),
                           ("tools/xen/xen-grants/src/sys.rs", HEAD + "unsafe { f() }\n"),
                           ("qemu-test/programs/suites/src/cases/data.rs", HEAD),
                           ("scripts/x", "#!/bin/sh\n# SPDX-License-Identifier: GPL-2.0\n"),
                           ("COPYING", "words\n")):
            self.assertEqual(self.complaint(path, text), [], path)

    def test_spdx_line(self):
        self.assertEqual(self.complaint("scripts/x.py", "import os\n"), ["no SPDX line"])
        self.assertEqual(self.complaint("scripts/x.py", "\n\n" + HEAD), ["no SPDX line"])

    def test_unsafe_outside_of_its_places(self):
        for path in ("drivers/xen/gntdev/region.rs", "qemu-test/programs/demo/src/lib.rs"):
            found = self.complaint(path, SAFE + "unsafe { f() }\n")
            self.assertEqual(len(found), 1)
            self.assertIn("unsafe outside of drivers/xen/rust/", found[0])

    def test_unsafe_in_crate_root_of_a_kernel_module(self):
        found = self.complaint("drivers/xen/gntdev/gntdev.rs", HEAD + "module! {\n}\nunsafe {}\n")
        self.assertEqual(len(found), 1)

    def test_unsafe_in_prose_and_strings_is_no_code(self):
        text = SAFE + '//! unsafe\nlet x = "unsafe"; // unsafe\n'
        self.assertEqual(self.complaint("drivers/xen/gntdev/region.rs", text), [])

    def test_files_that_must_forbid_unsafe(self):
        for path in ("drivers/xen/gntdev/region.rs", "qemu-test/programs/demo/src/lib.rs",
                     "qemu-test/programs/suites/src/bin/gntdev-self.rs",
                     "samples/xen/show-frame/src/main.rs"):
            self.assertEqual(self.complaint(path, HEAD),
                             ["does not say #![forbid(unsafe_code)]"], path)

    def test_a_crate_with_files_of_the_abstractions_denies_unsafe(self):
        root = "qemu-test/demo-model/src/lib.rs"
        denies = HEAD + "#![deny(unsafe_code)]\n"
        abstractions = '#[path = "../../../drivers/xen/rust"]\nmod xen;\n'
        self.assertEqual(self.complaint(root, denies + abstractions), [])
        for text in (denies, HEAD + abstractions):
            self.assertEqual(len(self.complaint(root, text)), 1)
        self.assertEqual(len(self.complaint(root, denies + abstractions + "unsafe {}\n")), 1)

    def test_places_of_one_machine_and_of_archives(self):
        for text in ("/w" + "ork/main", "cd /h" + "ome/someone", "http:/" + "/deb.example.org",
                     "https:/" + "/index.example.io", "TO" + "DO: later"):
            self.assertEqual(len(self.complaint("README.md", text + "\n")), 1, text)


if __name__ == "__main__":
    unittest.main()
