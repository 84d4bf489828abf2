# SPDX-License-Identifier: GPL-2.0
"""Before a boot each part is made after those that it needs, and beside the others."""

import contextlib
import pathlib
import threading
import unittest
from unittest import mock

from xenrust import debian_kernel, guest, preparation
from xenrust.build_root import Purpose

PLACE = pathlib.Path("x")
KERNEL = debian_kernel.DebianKernel("7.2.9+deb13-amd64", "1", PLACE, PLACE, PLACE)
PROGRAMS = {guest.LIBRARY: ("share-memfd",)}


class Preparation(unittest.TestCase):
    def setUp(self):
        self.lock = threading.Lock()
        self.events = []
        self.meetings = {}
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        for place in ("build_root.ensure", "debian_kernel.ensure", "debian_module.build",
                      "guest.ensure", "kernel.ensure", "kernel_source.ensure"):
            stack.enter_context(mock.patch(f"xenrust.{place}", self.double(place)))

    def double(self, place):
        def call(_cache, *arguments):
            name = (place, *arguments)
            with self.lock:
                self.events.append(("begin", *name))
            for key in (place, name):
                if str(key) in self.meetings:
                    self.meetings[str(key)].wait(600)
            with self.lock:
                self.events.append(("end", *name))
            return KERNEL if place == "debian_kernel.ensure" else None
        return call

    def meet(self, *steps):
        """Let these steps wait for each other, so that they only end if they run together."""
        barrier = threading.Barrier(len(steps))
        self.meetings.update((str(step), barrier) for step in steps)

    def assert_order(self, first, second):
        self.assertLess(self.events.index(("end", *first)), self.events.index(("begin", *second)))

    def test_with_debians_kernel(self):
        self.meet(("build_root.ensure", Purpose.BOOT), "debian_kernel.ensure")
        self.meet("debian_module.build", "guest.ensure")
        self.assertIs(preparation.with_debian_kernel("cache", "7.2", PROGRAMS), KERNEL)
        fetching = ("build_root.ensure", Purpose.FETCH)
        booting = ("build_root.ensure", Purpose.BOOT)
        kernel = ("debian_kernel.ensure", "7.2")
        module = ("debian_module.build", KERNEL)
        programs = ("guest.ensure", PROGRAMS)
        for first, second in ((fetching, booting), (fetching, kernel), (booting, module),
                              (kernel, module), (booting, programs)):
            self.assert_order(first, second)
        self.assertEqual(len(self.events), 10)

    def test_with_a_kernel_of_our_own(self):
        self.meet(("build_root.ensure", Purpose.ALL), "kernel_source.ensure")
        self.meet("kernel.ensure", "guest.ensure")
        preparation.with_own_kernel("cache", "lockdep", PROGRAMS)
        root = ("build_root.ensure", Purpose.ALL)
        for first, second in ((root, ("kernel.ensure", "lockdep")),
                              (("kernel_source.ensure",), ("kernel.ensure", "lockdep")),
                              (root, ("guest.ensure", PROGRAMS))):
            self.assert_order(first, second)


if __name__ == "__main__":
    unittest.main()
