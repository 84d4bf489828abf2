# SPDX-License-Identifier: GPL-2.0
"""Deaths of the emulator are told from failures of ours, in both directions."""

import unittest

from harness import architecture, verdict
from harness.architecture.x86 import emulator_death
from harness.boot_log import Line, Source
from harness.choices import GuestType
from harness.ending import MachineEnd, MachineRun
from harness.spec import Spec
from xenrust.processor import Processor

TRIPLE_FAULT = "(XEN) d0v1 Triple fault - invoking HVM shutdown action 1"
DOMU_TRIPLE_FAULT = "(XEN) d1v0 Triple fault - invoking HVM shutdown action 1"
CRASHED = "(XEN) Hardware Dom0 crashed: rebooting machine in 5 seconds."
KILLED_INIT = "[    9.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200"
MODULES = "[    9.0] Modules linked in: xen_gntalloc xen_gntdev_rust"
OUR_FRAME = "[    9.0]  _RNvCs1_15xen_gntdev_rust3map+0x10/0x200 [xen_gntdev_rust]"
C_FRAME = "[    9.0]  gntdev_mmap+0x10/0x200 [xen_gntdev]"


def double_fault(function):
    return ("[    9.0] traps: PANIC: double fault, error_code: 0x0",
            "[    9.0] Oops: double fault: 0000 [#1] SMP NOPTI",
            "[    9.0] CPU: 0 UID: 0 PID: 77 Comm: sh Not tainted 7.2.12 #1",
            "[    9.0] Hardware name: QEMU Standard PC (Q35 + ICH9, 2009)",
            f"[    9.0] RIP: 0010:{function}+0x5/0x30", MODULES)


RESET = "Triple fault"


# Lines of kernels begin with the time.
def source(text):
    starts = {"(XEN)": Source.XEN, "[": Source.DOM0, RESET: Source.QEMU}
    return next((name for start, name in starts.items() if text.startswith(start)), Source.RUN)


def judge(*texts, end="died", stage="run", status=0, svm=True):
    run = MachineRun(end=MachineEnd(end), stage=stage, status=status, reason="why")
    spec = Spec(dom0=GuestType.PVH if svm else GuestType.PV)
    return verdict.judge(architecture.of(Processor.X86_64), spec, run,
                         [Line(1.0, source(text), text) for text in texts])


class EmulatorDeaths(unittest.TestCase):
    def assert_emulator(self, result, reason):
        self.assertEqual((result.end, result.reason), ("emulator", reason))

    def test_triple_fault_of_dom0(self):
        self.assert_emulator(judge(TRIPLE_FAULT, CRASHED), "triple fault of dom0")

    def test_triple_fault_of_the_hypervisor(self):
        self.assert_emulator(judge("ok 1 a", RESET), "triple fault of the hypervisor")

    def test_what_every_boot_says_is_no_complaint(self):
        ordinary = ("(XEN) ACPI: SLEEP INFO: pm1x_cnt[1:604,1:0], pm1x_evt[1:600,1:0]",
                    "(XEN) WARNING: an option of Xen's", "[    0.1] ACPI: INT_SRC_OVR (bus 0)")
        self.assert_emulator(judge(*ordinary, TRIPLE_FAULT, CRASHED), "triple fault of dom0")
        self.assert_emulator(judge(*ordinary, end="silent", stage="start"), "hang before init")

    def test_triple_fault_of_the_domu_before_the_command(self):
        self.assert_emulator(judge(DOMU_TRIPLE_FAULT, end="failed", stage="wait for the domU"),
                             "triple fault of the domU")

    def test_triple_fault_of_the_domu_under_the_command(self):
        self.assert_emulator(judge(DOMU_TRIPLE_FAULT, end="exit", status=1),
                             "triple fault of the domU")

    def test_tests_that_fail_after_the_domu_has_died(self):
        for status in (0, 1):
            self.assert_emulator(judge("ok 1 a", DOMU_TRIPLE_FAULT, "not ok 2 b", "not ok 3 c",
                                       end="exit", status=status), "triple fault of the domU")

    def test_double_fault_in_entry_code(self):
        for function in ("asm_exc_page_fault", "entry_SYSCALL_64_after_hwframe", "error_entry",
                         "asm_sysvec_xen_hvm_callback", "common_interrupt_return"):
            with self.subTest(function):
                self.assert_emulator(judge(*double_fault(function), CRASHED),
                                     "double fault in entry code")

    def test_hang_before_init(self):
        self.assert_emulator(judge("[    0.1] ACPI: Core revision 1", end="silent",
                                   stage="start"), "hang before init")

    def test_halt_with_interrupts_pending(self):
        self.assert_emulator(judge("ok 1 a", end="halted"), "halt with interrupts pending")

    def test_init_killed_before_the_command(self):
        self.assert_emulator(judge(KILLED_INIT, MODULES, CRASHED, stage="xl create"),
                             emulator_death.EMULATOR_BROKEN_INIT)


class FailuresOfOurs(unittest.TestCase):
    def assert_kind(self, kind, result):
        self.assertEqual(result.end, kind)

    def test_a_command_that_fails(self):
        self.assert_kind("exit", judge(end="exit", status=3))

    def test_a_command_that_succeeds_although_a_domu_died(self):
        self.assert_kind("exit", judge(DOMU_TRIPLE_FAULT, end="exit", status=0))

    def test_a_command_that_takes_too_long(self):
        self.assert_kind("timeout", judge(end="timeout"))
        self.assert_kind("timeout", judge(TRIPLE_FAULT, end="timeout"))

    def test_nothing_is_the_emulators_without_svm(self):
        for texts in ((TRIPLE_FAULT,), (RESET,), double_fault("error_entry"), (KILLED_INIT,)):
            self.assert_kind("died", judge(*texts, stage="xl create", svm=False))
        self.assert_kind("died", judge(end="silent", stage="start", svm=False))
        self.assert_kind("died", judge(end="halted", svm=False))

    def test_death_after_a_failed_test(self):
        for tests in (("not ok 1 map",), ("ok 1 a", "    not ok 2 b")):
            self.assert_kind("died", judge(*tests, TRIPLE_FAULT, CRASHED))
            self.assert_kind("died", judge(*tests, RESET))
            self.assert_kind("died", judge(*tests, end="halted"))
            self.assert_kind("exit", judge(*tests, DOMU_TRIPLE_FAULT, "not ok 3 c", end="exit"))

    def test_a_test_that_speaks_of_not_ok_has_not_failed(self):
        self.assert_kind("emulator", judge("ok 1 answers: not ok", TRIPLE_FAULT))

    def test_a_test_that_fails_although_no_domu_died(self):
        self.assert_kind("exit", judge("not ok 1 map", end="exit"))

    def test_death_after_a_complaint(self):
        for text in ("WARNING: possible circular locking dependency detected",
                     "BUG: unable to handle page fault for address: 0",
                     "BUG: KFENCE: use-after-free write in x+0x1/0x2",
                     "kernel BUG at mm/rmap.c:5!", "INFO: task x:7 blocked for more than 120 s"):
            with self.subTest(text):
                self.assert_kind("died", judge(f"[    8.9] {text}", TRIPLE_FAULT, CRASHED))

    def test_death_after_a_complaint_that_the_check_of_logs_knows(self):
        for text in ("(XEN) d0v1: lost event (too many queue changes)",
                     "(XEN) Xen WARN at common/event_fifo.c:200",
                     "[    8.9] UBSAN: array-index-out-of-bounds in a.c:1:2",
                     "[    8.9] BUG kmalloc-64 (Not tainted): Poison overwritten"):
            with self.subTest(text):
                self.assert_kind("died", judge(text, TRIPLE_FAULT, CRASHED))

    def test_panic_in_our_module(self):
        self.assert_kind("died", judge("[    8.9] BUG: kernel NULL pointer dereference",
                                       OUR_FRAME, "[    9.0] Kernel panic - not syncing: Fatal",
                                       CRASHED))

    def test_a_frame_of_the_driver_anywhere(self):
        for frame in (OUR_FRAME, C_FRAME):
            self.assert_kind("died", judge(*double_fault("error_entry"), frame, CRASHED))
            self.assert_kind("died", judge(frame, TRIPLE_FAULT, CRASHED))

    def test_double_fault_elsewhere(self):
        for function in ("gntdev_mmap", "memcpy", "do_exit", "xas_load"):
            with self.subTest(function):
                self.assert_kind("died", judge(*double_fault(function), CRASHED))

    def test_init_killed_under_the_command(self):
        self.assert_kind("died", judge(KILLED_INIT, CRASHED, stage="run"))

    def test_a_reset_without_a_reason(self):
        self.assert_kind("died", judge("ok 1 a"))
        for end in (CRASHED, "(XEN) Panic on CPU 0:"):
            self.assert_kind("died", judge("ok 1 a", end, RESET))

    def test_a_plain_crash(self):
        self.assert_kind("died", judge(CRASHED))

    def test_a_step_of_the_start_that_fails(self):
        self.assert_kind("died", judge(end="failed", stage="xenstored"))
