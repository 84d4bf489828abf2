# SPDX-License-Identifier: GPL-2.0
"""The boots of the suites for event channels."""

import pathlib
import re
import unittest

from harness import suites
from harness.choices import Driver, EventOperations, GuestType
from harness.engine import boot_job, registry
from harness.engine.context import Context
from harness.engine.registry import SuiteList
from harness.spec import Spec
from harness.suites import events

CONTEXT = Context("dom0", Driver.RUST, EventOperations.C)

ONE, TWO, FOUR = (2, 1, 1), (2, 2, 2), (4, 4, 4)


def boots(suite, operations=EventOperations.C):
    """The boots of SUITE with these port operations, those that the context names."""
    return [job for job in suite(CONTEXT) if job.spec.events == operations]


def options(command):
    """The numbers in COMMAND, by option."""
    return {name: int(number) for name, number in re.findall(r"--(\w+) (\d+)", command)}


class EventSuites(unittest.TestCase):
    def test_every_number_of_vcpus_has_a_boot(self):
        for suite, guests, expected, mixed in (
                (events.paravirtual, "pv", [TWO, ONE, FOUR], [("pv", "pvh", TWO)]),
                (events.auto_translated, "pvh", [TWO, ONE, FOUR, TWO], []),
                (events.long_auto_translated, "pvh", [TWO, ONE, FOUR], []),
                (events.with_checks, "pv", [TWO], [])):
            with self.subTest(suite.__name__):
                specs = [job.spec for job in boots(suite)]
                found = [(spec.dom0, spec.domu, (spec.smp, spec.dom0_vcpus, spec.domu_vcpus))
                         for spec in specs]
                self.assertEqual(found, [(guests, guests, vcpus) for vcpus in expected] + mixed)

    def test_processors_go_and_domains_are_saved_under_both_kinds_of_dom0(self):
        both = ("event-storm", "event-channels")
        for suite, expected in (
                (events.paravirtual, [(*both, "event-saved", "event-suspended")]),
                (events.auto_translated, [(*both, "event-astray"), ("event-saved",)])):
            with self.subTest(suite.__name__):
                found = [job for job in boots(suite)
                         if job.spec.domu_vcpus == 2 and job.spec.domu == job.spec.dom0]
                self.assertEqual([tuple(job.commands) for job in found], expected)
                for job in found:
                    added = [pathlib.Path(path).name for path, _ in job.spec.add]
                    for name, command in job.commands.items():
                        self.assertEqual(command.split()[0], name)
                        self.assertIn(name, added)

    def test_processors_of_a_pvh_domu_go_as_often_under_a_pv_dom0(self):
        whole, *others = boots(events.paravirtual)
        mixed, = [job for job in others
                  if (job.spec.dom0, job.spec.domu) == (GuestType.PV, GuestType.PVH)]
        self.assert_done_in_parts(mixed, whole)

    def test_a_link_is_overwritten_wherever_a_domu_is_pvh(self):
        for suite in (events.paravirtual, events.auto_translated):
            with self.subTest(suite.__name__):
                astray = [job.spec for job in boots(suite) if "event-astray" in job.commands]
                self.assertEqual([spec.domu for spec in astray], [GuestType.PVH])

    def test_processors_are_drained_several_at_a_time_where_there_are_four(self):
        for suite in (events.paravirtual, events.auto_translated):
            for job in boots(suite):
                drains = "drained" in job.commands.get("event-channels", "")
                self.assertEqual(drains, job.spec.dom0_vcpus == 4)

    def test_a_domu_attacks_where_there_are_processors_for_it(self):
        attacked = [job.spec for job in boots(events.paravirtual)
                    if "event-hostile" in job.commands]
        self.assertEqual([(spec.dom0_vcpus, spec.domu) for spec in attacked], [(4, GuestType.PV)])
        # The toolstack lets a domain have 1,023 ports.
        self.assertLess(options(events.HOSTILE)["ports"], 1000)

    def test_a_pvh_domu_is_saved_where_the_emulator_lives_for_it(self):
        for job in boots(events.auto_translated):
            self.assertEqual(job.spec.instruction_clock, "event-saved" in job.commands)

    def test_the_long_form_does_in_parts_what_a_pv_dom0_does_at_once(self):
        long, *_ = boots(events.long_auto_translated)
        whole, *_ = boots(events.paravirtual)
        self.assertEqual(SuiteList.LONG.kernel, "dom0")
        self.assert_done_in_parts(long, whole)

    def assert_done_in_parts(self, job, whole):
        for name, command in job.commands.items():
            if name == "event-astray":
                continue
            with self.subTest(name):
                done = options(command)
                self.assertGreater(done.pop("parts"), 1)
                self.assertEqual(done, options(whole.commands[name]))

    def test_the_long_form_runs_only_when_a_person_asks_for_it(self):
        registry.load(suites)
        lists = {name: [suite.plan for suite in registry.suites_of(name).values()]
                 for name in SuiteList}
        self.assertEqual(lists.pop(SuiteList.LONG), [events.long_auto_translated])
        for plans in lists.values():
            self.assertNotIn(events.long_auto_translated, plans)

    def test_the_kernel_that_checks_its_locks_has_less_to_do(self):
        checked, = boots(events.with_checks)
        whole, *_ = boots(events.paravirtual)
        for name, command in checked.commands.items():
            for option, number in options(command).items():
                self.assertLess(number, options(whole.commands[name])[option])

    def test_the_2_level_abi_has_ports_enough(self):
        job, = boots(events.paravirtual, EventOperations.TWO_LEVEL)
        for command in job.commands.values():
            self.assertLess(options(command)["ports"], 4000)

    def test_the_person_chooses_the_operations(self):
        for asked, chosen in ((None, EventOperations.C),
                              (EventOperations.TWO_LEVEL, EventOperations.TWO_LEVEL)):
            job = boot_job.boot_job(CONTEXT, Spec(), {"any": "any"}, 1, events=asked)
            self.assertEqual(job.spec.events, chosen)
