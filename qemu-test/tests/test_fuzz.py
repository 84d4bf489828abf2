# SPDX-License-Identifier: GPL-2.0
"""The table of the fuzzer has the operations of all rounds, also of those before a death."""

import unittest

from harness import ktap
from harness.commands import fuzz

BEFORE = """\
KTAP version 1
1..2
# succeeded/refused/nothing to do: Close 1/2/3, close-buffer 5/0/0,
ok 1 2 operations of seed 1 have the documented results # 1.0 s
# succeeded/refused/nothing to do: Close 9/9/9,
""".splitlines()
AFTER = """\
KTAP version 1
1..2
# succeeded/refused/nothing to do: Close 10/20/30,
ok 2 2 operations of seed 2 have the documented results # 1.0 s
""".splitlines()


class TableTest(unittest.TestCase):
    def test_rounds_are_added(self):
        suite = ktap.Suite("gntdev-fuzz")
        for line in BEFORE:
            suite.feed(line)
        suite.resume()
        for line in AFTER:
            suite.feed(line)
        _, *lines = fuzz.table(suite.finish())
        self.assertEqual([line.split() for line in lines],
                         [["Close", "11", "22", "33"], ["close-buffer", "5", "0", "0"],
                          ["all", "71", "16", "22", "33"]])

    def test_no_round_has_passed(self):
        self.assertEqual(fuzz.table([]), [])
