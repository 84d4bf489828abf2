# SPDX-License-Identifier: GPL-2.0
"""Interrupts that a guest took while it had them disabled are told from ordinary ones."""

import pathlib
import tempfile
import unittest

from harness import architecture, verdict
from harness.architecture.x86 import emulator_death, nested_interrupt
from harness.boot_log import Line, Source
from harness.choices import GuestType
from harness.ending import MachineEnd, MachineRun
from harness.spec import Spec
from xenrust.processor import Processor

SYMBOLS = """\
ffffffff81000c40 T asm_common_interrupt
ffffffff81000cb0 T asm_sysvec_error_interrupt
ffffffff81000e20 T asm_exc_page_fault
ffffffff81000e50 T asm_exc_nmi
ffffffff8177a2b0 T _raw_spin_lock
"""
INTERRUPT, TIMER, PAGE_FAULT = 0xffffffff81000c62, 0xffffffff81000cc2, 0xffffffff81000e42
DISABLED, ENABLED = 0x10046, 0x246
KERNEL, USER = 0x10, 0x33


def stack(entry, flags, segment=KERNEL, title="Guest stack trace from sp=ffff88803de04e80:"):
    """The lines in which Xen prints a stack with the registers that ENTRY saved."""
    words = [0xffff8880038516a8, 0, entry, *range(15), 2**64 - 1, 0xffffffff8177a2c2, segment,
             flags, 0xffff88803de04fb0, 0x18]
    lines = [" ".join(f"{word:016x}" for word in words[start:start + 4])
             for start in range(0, len(words), 4)]
    return ["(XEN) *** Dumping Dom0 vcpu#0 state: ***", f"(XEN) {title}",
            *(f"(XEN)    {line}" for line in lines), "(XEN) *** Dumping Dom0 vcpu#1 state: ***"]


def lines_of(texts, source=Source.XEN):
    return [Line(1.0, source, text) for text in texts]


class Stacks(unittest.TestCase):
    def is_seen(self, *arguments, **options):
        return nested_interrupt.is_seen(lines_of(stack(*arguments, **options)),
                                        nested_interrupt.Entries(SYMBOLS))

    def test_an_interrupt_that_was_disabled(self):
        self.assertTrue(self.is_seen(INTERRUPT, DISABLED))
        self.assertTrue(self.is_seen(TIMER, DISABLED))

    def test_an_interrupt_that_was_enabled(self):
        self.assertFalse(self.is_seen(INTERRUPT, ENABLED))

    def test_an_exception_comes_at_any_time(self):
        self.assertFalse(self.is_seen(PAGE_FAULT, DISABLED))

    def test_words_that_are_no_registers(self):
        self.assertFalse(self.is_seen(INTERRUPT, DISABLED, segment=USER))
        self.assertFalse(self.is_seen(INTERRUPT, 0))

    def test_a_stack_of_xen_itself(self):
        self.assertFalse(self.is_seen(INTERRUPT, DISABLED, title="Xen stack trace from rsp=ff:"))

    def test_a_stack_that_ends_before_the_registers_do(self):
        cut = stack(INTERRUPT, DISABLED)[:-3]
        self.assertFalse(nested_interrupt.is_seen(lines_of(cut),
                                                  nested_interrupt.Entries(SYMBOLS)))


class Verdicts(unittest.TestCase):
    def judge(self, *others, flags=DISABLED, end=MachineEnd.TIMEOUT, dom0=GuestType.PVH,
              symbols=SYMBOLS):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "System.map")
            path.write_text(symbols or "", encoding="ascii")
            return verdict.judge(
                architecture.of(Processor.X86_64), Spec(dom0=dom0),
                MachineRun(end=end, stage="run", reason="no word for 900 s"),
                [*others, *lines_of(stack(INTERRUPT, flags))], path if symbols else None)

    def test_a_hang_by_such_an_interrupt_is_the_emulators(self):
        found = self.judge()
        self.assertEqual((found.end, found.reason),
                         ("emulator", emulator_death.EMULATOR_NESTED_INTERRUPT))

    def test_any_other_hang_is_not(self):
        failed, = lines_of(["not ok 1 a"], Source.RUN)
        complaint, = lines_of(["[    9.0] kernel BUG at mm/x.c:1!"], Source.DOM0)
        for reason, found in (
                ("enabled", self.judge(flags=ENABLED)), ("a failed test", self.judge(failed)),
                ("a complaint", self.judge(complaint)),
                ("no guest by SVM", self.judge(dom0=GuestType.PV)),
                ("no symbols", self.judge(symbols=None))):
            with self.subTest(reason):
                self.assertEqual((found.end, found.reason), ("timeout", "no word for 900 s"))


if __name__ == "__main__":
    unittest.main()
