# SPDX-License-Identifier: GPL-2.0
"""The boot of a soak, and its hours."""

import argparse
import contextlib
import io
import unittest

from harness.choices import Driver, EventOperations, GuestType
from harness.commands import soak
from harness.engine.context import Context

CONTEXT = Context("dom0", Driver.RUST, EventOperations.RUST)


def spec(dom0="pv", hours=2.0, plant=False, lane=""):
    options = argparse.Namespace(dom0=dom0, hours=hours, plant=plant, lane=lane)
    return soak.make_spec(CONTEXT, 7, options)


class Boot(unittest.TestCase):
    def test_the_program_gets_its_arguments(self):
        self.assertEqual(spec().run, "gntdev-soak --seed 7")
        self.assertEqual(spec(plant=True, lane="events").run,
                         "gntdev-soak --seed 7 --plant --lane events")

    def test_the_limit_is_longer_than_the_hours(self):
        for hours in (0.05, 2.0, 24.0):
            self.assertGreaterEqual(spec(hours=hours).limits.total, hours * 3600 + 3600)

    def test_the_clock_stands_still_while_the_host_does_other_work(self):
        for dom0 in ("pv", "pvh"):
            self.assertTrue(spec(dom0).instruction_clock)
            self.assertEqual(spec(dom0).domu, GuestType.PV)


class Hours(unittest.TestCase):
    def setUp(self):
        self.time = 500.0
        self.hours = soak.Hours(0.5, now=lambda: self.time)

    def show(self, chunk):
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            self.hours.show(chunk)
        return shown.getvalue()

    def test_they_begin_with_the_first_output(self):
        self.time += 10000
        self.assertFalse(self.hours.are_over())
        self.show(b"round 0\n")
        self.time += 1799
        self.assertFalse(self.hours.are_over())
        self.time += 1
        self.assertTrue(self.hours.are_over())

    def test_each_whole_line_about_a_round_has_its_time(self):
        self.assertEqual(self.show(b"round 0\nround"), "0:00:00 round 0\n")
        self.time += 7384
        self.assertEqual(self.show(b" 1\n"), "2:03:04 round 1\n")

    def test_a_table_has_none(self):
        self.assertEqual(self.show(b"\n====\n"), "\n====\n")

    def test_they_can_be_ended(self):
        self.show(b"round 0\n")
        self.hours.end()
        self.assertTrue(self.hours.are_over())
