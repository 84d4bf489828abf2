# SPDX-License-Identifier: GPL-2.0
"""Options of qemu-test/boot that depend on each other."""

import contextlib
import io
import sys
import unittest
from unittest import mock

from harness.choices import GuestType
from harness.commands import boot
from xenrust.processor import Processor


def spec(*options):
    """The boot that OPTIONS ask for."""
    with mock.patch.object(sys, "argv", ["boot", *options]):
        return boot.make_spec(boot.parse_arguments())


class Processors(unittest.TestCase):
    def refused(self, *options):
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(SystemExit):
            spec(*options)
        return said.getvalue()

    def test_the_usual_dom0_is_that_of_the_processor(self):
        self.assertEqual((spec().processor, spec().dom0), (Processor.X86_64, GuestType.PV))
        arm64 = spec("--arch", "arm64", "--kernel", "debian")
        self.assertEqual((arm64.processor, arm64.dom0), (Processor.ARM64, GuestType.PVH))
        self.assertEqual(arm64.describe(), "arm64 PVH dom0, debian kernel, Rust gntdev")

    def test_types_that_the_processor_has_not(self):
        for option in ("--dom0=pv", "--domu=pv", "--domu=hvm"):
            with self.subTest(option):
                kind, _, name = option[2:].partition("=")
                self.assertIn(f"on arm64 there is no {name} {kind}",
                              self.refused("--arch=arm64", option).lower())
                spec("--arch=x86_64", option)
        self.assertEqual(spec("--arch=arm64", "--dom0=pvh", "--domu=pvh").domu, GuestType.PVH)
