# SPDX-License-Identifier: GPL-2.0
"""A processor that the emulator forgot is told from one that waits, or that goes on."""

import unittest

from harness.architecture.x86 import halted_processor

ON, OFF = 0x246, 0x046


def registers(*processors):
    """The monitor's text about PROCESSORS, pairs of flags and of a truth value for a halt."""
    return "".join(
        f"\r\nCPU#{number}\r\nRAX=0000000000000000 RBX=0000000000000000\r\n"
        f"RIP=ffff82d040210000 RFL={flags:08x} [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT={halts:d}\r\n"
        for number, (flags, halts) in enumerate(processors))


def apic(requested, priority=0):
    listed = " ".join(map(str, requested)) or "(none)"
    return ("dumping local APIC state for CPU 0 \r\n\r\nISR\t (none)\r\n"
            f"IRR\t {listed}\r\n\r\nAPR 0x00 TPR 0x00 DFR 0x0f LDR 0x00 PPR {priority:#04x}\r\n")


class Monitor:
    """Answers at once, each command with the next of its answers."""

    def __init__(self, **answers):
        self._answers = {name: iter(texts) for name, texts in answers.items()}

    def ask_person(self, command, then):
        then(next(self._answers[command.split()[1]]))


class Looks(unittest.TestCase):
    def look(self, all_registers, all_apics, forget_after=None):
        """Faults found in as many looks as there are registers."""
        found = []
        watch = halted_processor.HaltedProcessorWatch(
            Monitor(registers=all_registers, lapic=all_apics), found.append)
        for number in range(len(all_registers)):
            watch.look()
            if number == forget_after:
                watch.forget()
        return found

    def test_one_that_stays_so_is_found(self):
        found = self.look([registers((ON, False), (ON, True))] * 3,
                          [apic([72, 250]), apic([72, 241, 250]), apic([72, 250])])
        self.assertEqual(found,
                         ["processor 1 halts although interrupts are pending: 72, 250"])

    def test_one_that_ran_at_first_is_found(self):
        halts, runs = registers((ON, True)), registers((ON, False))
        self.assertEqual(len(self.look([halts, runs, halts, halts, halts], [apic([72])] * 4)), 1)
        self.assertEqual(len(self.look([halts] * 4, [apic([80])] + [apic([72])] * 3)), 1)

    def test_twice_is_not_enough(self):
        self.assertEqual(self.look([registers((ON, True))] * 2, [apic([72])] * 2), [])

    def test_not_when_other_interrupts_come_each_time(self):
        self.assertEqual(self.look([registers((ON, True))] * 3,
                                   [apic([72]), apic([80]), apic([72])]), [])

    def test_not_when_it_ran_meanwhile(self):
        halts, runs = registers((ON, True)), registers((ON, False))
        self.assertEqual(self.look([halts, runs, halts, halts], [apic([72])] * 3), [])

    def test_not_when_the_machine_spoke_meanwhile(self):
        self.assertEqual(self.look([registers((ON, True))] * 4, [apic([72])] * 4,
                                   forget_after=1), [])

    def test_not_when_nothing_is_pending(self):
        self.assertEqual(self.look([registers((ON, True))] * 3, [apic([])] * 3), [])

    def test_not_when_its_priority_holds_them_back(self):
        self.assertEqual(self.look([registers((ON, True))] * 3, [apic([72], 0x48)] * 3), [])

    def test_not_when_interrupts_are_off(self):
        self.assertEqual(self.look([registers((OFF, True))] * 3, []), [])
