# SPDX-License-Identifier: GPL-2.0
"""Arguments of the emulator and of the guests' kernels."""

import pathlib
import unittest

from harness import guest_arguments
from harness.architecture.base import Files
from harness.architecture.x86 import command_line
from harness.choices import EventOperations, GuestType
from harness.spec import Spec, Watched

FILES = Files(*map(pathlib.Path, ("folder", "vmlinuz", "initramfs", "xen")))


def argument(spec, name):
    """The word after NAME in the emulator's command."""
    argv = command_line.command(spec, FILES, pathlib.Path("ports"))
    return argv[argv.index(name) + 1]


class Events(unittest.TestCase):
    def test_both_guests_are_told_the_same(self):
        for events, wanted in ((EventOperations.RUST, "xen.fifo_events_rust=1"),
                               (EventOperations.C, "xen.fifo_events_rust=0"),
                               (EventOperations.TWO_LEVEL, "xen.fifo_events=0")):
            with self.subTest(events):
                spec = Spec(domu=GuestType.PV, events=events)
                self.assertIn(f" {wanted}", argument(spec, "-initrd"))
                self.assertIn(f" {wanted}", guest_arguments.domu_configuration(spec, 128))

    def test_only_what_is_not_the_default_is_described(self):
        self.assertNotIn("events", Spec().describe())
        self.assertIn("C events", Spec(events=EventOperations.C).describe())

    def test_a_domu_may_have_more_channels_than_the_2_level_abi(self):
        lines = guest_arguments.domu_configuration(Spec(domu=GuestType.PV), 128).splitlines()
        configuration = dict(line.split(" = ", 1) for line in lines)
        self.assertGreater(int(configuration["max_event_channels"]), 8192)


class Processors(unittest.TestCase):
    def test_dom0_has_all_of_the_machine_s(self):
        self.assertIn("dom0_max_vcpus=3 ", argument(Spec(smp=3), "-append"))

    def test_guests_have_numbers_of_their_own(self):
        spec = Spec(domu=GuestType.PV, dom0_vcpus=4, domu_vcpus=1)
        self.assertIn("dom0_max_vcpus=4 ", argument(spec, "-append"))
        self.assertEqual(argument(spec, "-smp"), "2")
        self.assertIn("\nvcpus = 1\n", guest_arguments.domu_configuration(spec, 128))


class Hvm(unittest.TestCase):
    def test_a_domu_with_devices_has_no_screen(self):
        for domu, count in ((GuestType.PVH, 0), (GuestType.HVM, 1)):
            with self.subTest(domu):
                lines = guest_arguments.domu_configuration(Spec(domu=domu), 128).splitlines()
                self.assertIn(f'type = "{domu}"', lines)
                self.assertEqual(lines.count('vga = "none"'), count)

    def test_it_runs_by_emulated_virtualization(self):
        for domu, uses in ((GuestType.PV, False), (GuestType.PVH, True), (GuestType.HVM, True)):
            with self.subTest(domu):
                self.assertEqual(command_line.uses_svm(Spec(domu=domu)), uses)


class Extra(unittest.TestCase):
    def test_further_arguments_end_no_value(self):
        spec = Spec(domu=GuestType.PV, domu_cmdline='one="two three" four')
        lines = guest_arguments.domu_configuration(spec, 128).splitlines()
        extra = next(line for line in lines if line.startswith("extra"))
        self.assertEqual(extra.count('"'), 2)
        self.assertTrue(extra.endswith(' one=two three four"'))


class System(unittest.TestCase):
    def test_its_root_is_only_read(self):
        options = argument(Spec(system="/a,b"), "-fsdev").replace(",,", ";").split(",")
        self.assertIn("path=/a;b", options)
        self.assertIn("readonly=on", options)
        self.assertNotIn("-fsdev", command_line.command(Spec(), FILES, pathlib.Path("ports")))


class Trace(unittest.TestCase):
    def test_what_the_emulator_notes_is_asked_for_once(self):
        # Of two such options it would take the last.
        spec = Spec(trace=((0x1000, 0x20), (0x2000, 0x30)))
        argv = command_line.command(spec, FILES, pathlib.Path("ports"))
        self.assertEqual(argv.count("-d"), 1)
        self.assertEqual(argument(spec, "-d"), "cpu_reset,in_asm,exec,nochain")
        self.assertEqual(argument(spec, "-dfilter"), "0x1000+0x20,0x2000+0x30")
        self.assertEqual(argument(Spec(), "-d"), "cpu_reset")

    def test_of_watched_code_only_the_translation_is_noted(self):
        spec = Spec(watched=Watched(((0x1000, 0x20), (0x2000, 0x30)), "folder"))
        self.assertEqual(argument(spec, "-d"), "cpu_reset,in_asm")
        self.assertEqual(argument(spec, "-dfilter"), "0x1000+0x20,0x2000+0x30")


class InstructionClock(unittest.TestCase):
    def test_one_thread_and_no_timer_that_ends_the_emulator(self):
        spec = Spec(smp=1, instruction_clock=True)
        self.assertEqual(argument(spec, "-accel"), "tcg,thread=single")
        self.assertEqual(argument(spec, "-icount"), "shift=0,sleep=off")
        self.assertIn("x2apic=0", argument(spec, "-append").split())

    def test_other_machines_have_the_hosts_clock(self):
        argv = command_line.command(Spec(), FILES, pathlib.Path("ports"))
        self.assertNotIn("-icount", argv)
        self.assertEqual(argument(Spec(), "-accel"), "tcg,thread=multi")
        self.assertNotIn("x2apic=0", argument(Spec(), "-append").split())
