# SPDX-License-Identifier: GPL-2.0
"""The verdict on the samples: it must not pass for a screen that shows nothing."""

import pathlib
import unittest

from harness.boot import Result
from harness.ending import BootEnd
from harness.picture import Picture
from harness.results import PASSED
from harness.suites import samples

DRAWN = Picture(2, 1, b"abcdef")
BLACK = Picture(2, 1, bytes(6))
OUTPUT = b"""domain 7\r
grant 12: page 0 of a memfd of domain 7
grant 13: page 3 of a memfd of domain 7
grant 12: the same page, after the domU has changed it
"""


class Samples(unittest.TestCase):
    def failed(self, output=OUTPUT, status=0, **screens):
        """The names of the checks that fail."""
        result = Result(BootEnd.EXIT, status, output, pathlib.Path("log"), [], "why",
                        screens=screens)
        self.domains = []
        tests = samples.read_samples(result, lambda domid: self.domains.append(domid) or DRAWN)
        return [test.name for test in tests if test.outcome != PASSED]

    def test_all_is_well(self):
        self.assertEqual(self.failed(before=BLACK, during=DRAWN, after=BLACK), [])
        self.assertEqual(self.domains, ["7"])

    def test_a_black_screen(self):
        self.assertEqual(self.failed(before=BLACK, during=BLACK, after=BLACK),
                         ["the screen shows what the domU drew, pixel by pixel"])

    def test_no_screen(self):
        self.assertEqual(len(self.failed()), 3)

    def test_a_picture_that_was_there_before(self):
        self.assertEqual(self.failed(before=DRAWN, during=DRAWN, after=BLACK),
                         ["the screen shows something else before"])

    def test_a_change_that_dom0_does_not_see(self):
        lines = OUTPUT.splitlines(keepends=True)[:-1]
        self.assertEqual(
            self.failed(b"".join(lines), before=BLACK, during=DRAWN, after=BLACK),
            ["dom0 reads the domU's memfd, and what the domU changes there"])

    def test_a_bad_end(self):
        self.assertEqual(self.failed(status=1, before=BLACK, during=DRAWN, after=BLACK),
                         ["both sides end, and all grants with them"])

    def test_nothing_ran(self):
        self.assertEqual(self.failed(b""), ["the samples as a whole"])
