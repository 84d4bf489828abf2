# SPDX-License-Identifier: GPL-2.0
"""The boots that the suites for event channels consist of."""

import pathlib
import re
import sys
import unittest
from types import SimpleNamespace
from unittest import mock

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "qemu-test/lib"), str(REPOSITORY / "scripts/lib")]

import suites  # noqa: E402

CONTEXT = SimpleNamespace(cache=None, config="dom0", gntdev="rust", events="c",
                          on_progress=lambda text: None)


def boots(suite):
    """What SUITE would boot: spec, commands and port operations of each."""
    found = []

    def note(_context, spec, commands, _setup, events):
        found.append((spec, commands, events))
        return [len(found)]

    with mock.patch.object(suites, "_boot", note), \
            mock.patch.object(suites.guest, "ensure", lambda cache: pathlib.Path("programs")):
        results = suite(CONTEXT)
    # No boot's results are forgotten.
    assert results == list(range(1, len(found) + 1))
    return found


class EventSuites(unittest.TestCase):
    def test_every_number_of_vcpus_has_a_boot(self):
        one, two, four = (2, 1, 1), (2, 2, 2), (4, 4, 4)
        for suite, guests, expected in (
                (suites.events_of_paravirtual, "pv", [two, one, four]),
                (suites.events_of_auto_translated, "pvh", [two, one])):
            with self.subTest(guests):
                specs = [spec for spec, _, events in boots(suite) if events is None]
                self.assertEqual({(spec.dom0, spec.domu) for spec in specs}, {(guests, guests)})
                self.assertEqual([(spec.smp, spec.dom0_vcpus, spec.domu_vcpus) for spec in specs],
                                 expected)

    def test_the_2_level_abi_has_ports_enough(self):
        (_, commands, events), = [one for one in boots(suites.events_of_paravirtual) if one[2]]
        self.assertEqual(events, "2-level")
        for command in commands.values():
            ports = re.search(r"--ports (\d+)", command)
            self.assertLess(int(ports[1]), 4000)

    def test_the_person_chooses_the_operations(self):
        chosen = []

        def stop(spec, **_rest):
            chosen.append(spec.events)
            raise StopIteration

        with mock.patch.object(suites.boot, "boot", stop), \
                mock.patch.object(suites.kernel, "ensure", lambda *_: None):
            for events in (None, "2-level"):
                with self.assertRaises(StopIteration):
                    suites._boot(CONTEXT, suites.boot.Spec(), {"any": "any"}, events=events)
        self.assertEqual(chosen, ["c", "2-level"])


if __name__ == "__main__":
    unittest.main()
