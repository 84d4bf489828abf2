# SPDX-License-Identifier: GPL-2.0
"""The log check catches each kind of report, and the baseline hides nothing but its own."""

import pathlib
import re
import tempfile
import unittest

from harness import boot_log, log_check
from harness.boot_log import Source

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"

REPORTS = {
    "a warning": "WARNING: mm/memory.c:10 at some_function+0x1/0x2, CPU#0: prog/7",
    "a circular dependency": "WARNING: possible circular locking dependency detected",
    "recursive locking": "WARNING: possible recursive locking detected",
    "an inconsistent state": "WARNING: inconsistent lock state",
    "RCU": "WARNING: suspicious RCU usage",
    "a lock that was never taken": "WARNING: bad unlock balance detected!",
    "a lock taken to user space": "WARNING: lock held when returning to user space!",
    "sleeping": "BUG: sleeping function called from invalid context at mm/slab.h:3",
    "scheduling": "BUG: scheduling while atomic: prog/7/0x00000002",
    "KFENCE": "BUG: KFENCE: use-after-free read in some_function+0x1/0x2",
    "KASAN": "BUG: KASAN: slab-use-after-free in some_function+0x1/0x2",
    "a bad pointer": "BUG: unable to handle page fault for address: ffff888000000000",
    "an oops": "Oops: 0002 [#1] SMP",
    "a protection fault": "Oops: general protection fault, probably for non-canonical address",
    "a kernel BUG": "kernel BUG at mm/rmap.c:5!",
    "a bad page": "BUG: Bad page state in process prog  pfn:12345",
    "a bad counter": "BUG: Bad rss-counter state mm:00000000 type:MM_ANONPAGES val:3",
    "the slab allocator": "BUG kmalloc-64 (Not tainted): Poison overwritten",
    "a leaked object": "kmemleak: unreferenced object 0xffff888001234500 (size 64):",
    "kmemleak's count": "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "undefined behaviour": "UBSAN: array-index-out-of-bounds in drivers/xen/x.c:1:2",
    "a reference count": "refcount_t: underflow; use-after-free.",
    "a list": "list_del corruption. prev->next should be 0, but was 1",
    "a hung task": "INFO: task prog:7 blocked for more than 120 seconds.",
    "a stall": "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "a lockup": "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [prog:7]",
    "a panic": "Kernel panic - not syncing: Attempted to kill init!",
    "no memory": "prog: page allocation failure: order:4, mode:0x40cc0",
    "a grant": "WARNING: g.e. 0x12 still in use!",
    "an unexplained trace": "Call Trace:",
}

XEN_REPORTS = {
    "Xen's bug": "(XEN) Xen BUG at common/grant_table.c:10",
    "Xen's warning": "(XEN) Xen WARN at common/grant_table.c:10",
    "Xen's assertion": "(XEN) Assertion 'x' failed at common/grant_table.c:10",
    "Xen's panic": "(XEN) Panic on CPU 0:",
    "a crash": "(XEN) domain_crash called from arch/x86/mm.c:10",
    "a crashed domain": "(XEN) Domain 1 (vcpu#0) crashed on cpu#1:",
    "a triple fault": "(XEN) d1v0 Triple fault - invoking HVM shutdown action 1",
    "a page type": "(XEN) Bad type in validate_page 0 t=0 c=0",
    "a lost event": "(XEN) d1v0 d1 port 12 lost event (too many queue changes)",
    "an event for no queue": "(XEN) d1v2 has no FIFO event channel control block",
}

HARMLESS = (
    "Linux version 7.2.12 (root@vm) #1 SMP",
    "clocksource: Watchdog remote CPU 1 read timed out",
    "INFO: lockdep is turned off.",
    "xen_gntdev_rust: loaded",
    "ok 1 a test about BUGs and WARNINGs",
)

TRACE = ("Call Trace:", " <TASK>", " {frame}+0x10/0x20{module}", " do_syscall_64+0xca/0x310",
         " </TASK>")


def log(*texts, source=Source.DOM0):
    return [boot_log.Line(float(number), source, f"[    1.00000{number % 10}] {text}")
            for number, text in enumerate(texts)]


def report(title, frame, module=""):
    return [title] + [line.format(frame=frame, module=module) for line in TRACE]


class Catches(unittest.TestCase):
    def test_each_kind_of_kernel_report(self):
        for source in (Source.DOM0, Source.DOMU):
            for name, text in REPORTS.items():
                with self.subTest(name, source=source):
                    found = log_check.unexplained(log("before", text, "after", source=source))
                    self.assertEqual(len(found), 1)
                    self.assertEqual(found[0].title, text)

    def test_each_kind_of_xen_report(self):
        for name, text in XEN_REPORTS.items():
            with self.subTest(name):
                lines = [boot_log.Line(1.0, Source.XEN, text)]
                self.assertEqual([found.title for found in log_check.unexplained(lines)], [text])

    def test_nothing_in_a_clean_log(self):
        self.assertEqual(log_check.unexplained(log(*HARMLESS)), [])

    def test_what_the_command_prints_is_no_report(self):
        self.assertEqual(log_check.unexplained(log(*REPORTS.values(), source=Source.RUN)), [])

    def test_two_reports_in_a_row_are_two(self):
        texts = report("WARNING: first", "a") + report("BUG: second", "b")
        self.assertEqual(len(log_check.unexplained(log(*texts))), 2)

    def test_a_report_on_disk(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "boot.log")
            writer = boot_log.Writer(path)
            writer.add(Source.DOM0, "[    1.000000] WARNING: suspicious RCU usage")
            writer.close()
            self.assertEqual(len(log_check.unexplained(boot_log.read(path))), 1)


class Baseline(unittest.TestCase):
    known = [log_check.Known(re.compile(r"^WARNING: known"), re.compile(r"\bcore_function\+"))]

    def check(self, *texts):
        return [found.title for found in log_check.unexplained(log(*texts), self.known)]

    def test_explains_its_own(self):
        self.assertEqual(self.check(*report("WARNING: known", "core_function")), [])

    def test_not_the_same_title_elsewhere(self):
        self.assertEqual(self.check(*report("WARNING: known", "other")), ["WARNING: known"])

    def test_not_the_same_frame_with_another_title(self):
        self.assertEqual(self.check(*report("WARNING: new", "core_function")), ["WARNING: new"])

    def test_not_when_our_module_is_in_the_trace(self):
        texts = report("WARNING: known", "core_function", " [xen_gntdev_rust]")
        self.assertEqual(self.check(*texts), ["WARNING: known"])

    def test_not_when_the_event_channels_crate_is_in_the_trace(self):
        symbol = "_RINvNtNtCs1KKFtSVMWBp_11fifo_events3xen10evtchn_ops5setupNtB6_8port_opsEB6_"
        texts = report("WARNING: known", "core_function")
        texts.insert(texts.index(" </TASK>"), f" {symbol}+0x1c/0x40")
        self.assertEqual(self.check(*texts), ["WARNING: known"])

    def interrupt(self, *between):
        """A report from the handler of an interrupt, with frames BETWEEN it and the event channels'
        crate."""
        symbol = "_RINvNtNtCs1KKFtSVMWBp_11fifo_events3xen10evtchn_ops13handle_eventsEB6_"
        texts = report("WARNING: known", "core_function")
        frames = [*between, f" {symbol}+0xe8/0x150", " xen_evtchn_do_upcall+0xc0/0x160"]
        at = texts.index(" </TASK>")
        return [*texts[:at], *frames, *texts[at:]]

    def test_an_interrupt_is_no_part_of_what_its_handler_does(self):
        texts = self.interrupt(" handle_irq_for_port+0x102/0x150")
        self.assertEqual(self.check(*texts), [])

    def test_an_interrupt_does_not_stand_for_the_frame_of_an_entry(self):
        texts = self.interrupt(" handle_irq_for_port+0x102/0x150")
        self.assertEqual(self.check(*texts[:1], " other+0x1/0x2", *texts[-4:]),
                         ["WARNING: known"])

    def test_not_when_the_event_channels_crate_did_more_than_call_the_handler(self):
        for between in ((), (" handle_irq_for_port+0x102/0x150", " _raw_spin_lock+0x1/0x2"),
                        (" ? handle_irq_for_port+0x102/0x150",)):
            with self.subTest(between):
                self.assertEqual(self.check(*self.interrupt(*between)), ["WARNING: known"])

    def test_not_when_ours_is_in_the_trace_besides(self):
        texts = self.interrupt(" handle_irq_for_port+0x102/0x150")
        at = texts.index(" </TASK>")
        texts[at:at] = [" unmap+0x1/0x2 [xen_gntdev_rust]"]
        self.assertEqual(self.check(*texts), ["WARNING: known"])

    def test_does_not_hide_the_report_that_follows(self):
        texts = ["WARNING: known"] + report("BUG: ours", "core_function")
        self.assertIn("BUG: ours", self.check(*texts))

    def test_a_line_without_a_frame_is_refused(self):
        with tempfile.NamedTemporaryFile("w", suffix=".baseline") as stream:
            stream.write("# comment\nWARNING: everything\n")
            stream.flush()
            with self.assertRaises(ValueError):
                log_check.read_baseline(pathlib.Path(stream.name))

    def test_the_baselines_of_the_repository_are_readable(self):
        for path in CONFIGS.glob("*-baseline"):
            with self.subTest(path.name):
                self.assertTrue(log_check.read_baseline(path))
