# SPDX-License-Identifier: GPL-2.0
"""The boots that the suites for event channels consist of."""

import pathlib
import re
import sys
import unittest
from unittest import mock

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "qemu-test/lib"), str(REPOSITORY / "scripts/lib")]

import suites  # noqa: E402

CONTEXT = suites.Context("dom0", "rust", "c", on_test=lambda test: None,
                         on_note=lambda text: None, on_progress=lambda text: None)

ONE, TWO, FOUR = (2, 1, 1), (2, 2, 2), (4, 4, 4)


def boots(suite):
    """What SUITE would boot: spec, commands, port operations and kernel of each."""
    found = []

    def note(context, spec, commands, _setup, events):
        found.append((spec, commands, events, context.config))
        return [len(found)]

    with mock.patch.object(suites, "_boot", note), \
            mock.patch.object(suites.guest, "ensure", lambda cache: pathlib.Path("programs")):
        results = suite(CONTEXT)
    # No boot's results are forgotten.
    assert results == list(range(1, len(found) + 1))
    return found


def options(command):
    """The numbers in COMMAND, by option."""
    return {name: int(number) for name, number in re.findall(r"--(\w+) (\d+)", command)}


class EventSuites(unittest.TestCase):
    def test_every_number_of_vcpus_has_a_boot(self):
        for suite, guests, expected, mixed in (
                (suites.events_of_paravirtual, "pv", [TWO, ONE, FOUR], [("pv", "pvh", TWO)]),
                (suites.events_of_auto_translated, "pvh", [TWO, ONE, FOUR, TWO], []),
                (suites.long_events_of_auto_translated, "pvh", [TWO, ONE, FOUR], []),
                (suites.events_with_checks, "pv", [TWO], [])):
            with self.subTest(suite.__name__):
                found = [(spec.dom0, spec.domu, (spec.smp, spec.dom0_vcpus, spec.domu_vcpus))
                         for spec, _, events, _ in boots(suite) if events is None]
                self.assertEqual(found, [(guests, guests, vcpus) for vcpus in expected] + mixed)

    def test_processors_go_and_domains_are_saved_under_both_kinds_of_dom0(self):
        programs = ("event-storm", "event-channels", "event-saved")
        for suite, expected in ((suites.events_of_paravirtual, [programs]),
                                (suites.events_of_auto_translated, [programs[:2], programs[2:]])):
            with self.subTest(suite.__name__):
                found = [(spec, commands) for spec, commands, events, _ in boots(suite)
                         if events is None and spec.domu_vcpus == 2 and spec.domu == spec.dom0]
                self.assertEqual([tuple(commands) for _, commands in found], expected)
                for spec, commands in found:
                    added = [pathlib.Path(path).name for path, _ in spec.add]
                    for name, command in commands.items():
                        self.assertEqual(command.split()[0], name)
                        self.assertIn(name, added)

    def test_processors_of_a_pvh_domu_go_as_often_under_a_pv_dom0(self):
        (_, whole, _, _), *others = boots(suites.events_of_paravirtual)
        commands, = [commands for spec, commands, _, _ in others
                     if (spec.dom0, spec.domu) == ("pv", "pvh")]
        for name, command in commands.items():
            with self.subTest(name):
                done = options(command)
                self.assertGreater(done.pop("parts"), 1)
                self.assertEqual(done, options(whole[name]))

    def test_a_pvh_domu_is_saved_where_the_emulator_lives_for_it(self):
        for spec, commands, _, _ in boots(suites.events_of_auto_translated):
            self.assertEqual(spec.instruction_clock, "event-saved" in commands)

    def test_the_long_form_does_in_parts_what_a_pv_dom0_does_at_once(self):
        (_, long, _, kernel), *_ = boots(suites.long_events_of_auto_translated)
        (_, whole, _, _), *_ = boots(suites.events_of_paravirtual)
        self.assertEqual(kernel, "dom0")
        for name, command in long.items():
            with self.subTest(name):
                done = options(command)
                self.assertGreater(done.pop("parts"), 1)
                self.assertEqual(done, options(whole[name]))

    def test_the_long_form_runs_only_when_a_person_asks_for_it(self):
        self.assertEqual(list(suites.SUITES["long"].values()),
                         [suites.long_events_of_auto_translated])
        for config in set(suites.SUITES) - {"long"}:
            self.assertNotIn(suites.long_events_of_auto_translated,
                             suites.SUITES[config].values())

    def test_the_kernel_that_checks_its_locks_has_less_to_do(self):
        (_, commands, _, _), = boots(suites.events_with_checks)
        (_, whole, _, _), *_ = boots(suites.events_of_paravirtual)
        for name, command in commands.items():
            for option, number in options(command).items():
                self.assertLess(number, options(whole[name])[option])

    def test_the_2_level_abi_has_ports_enough(self):
        (_, commands, events, _), = [one for one in boots(suites.events_of_paravirtual) if one[2]]
        self.assertEqual(events, "2-level")
        for command in commands.values():
            self.assertLess(options(command)["ports"], 4000)

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
