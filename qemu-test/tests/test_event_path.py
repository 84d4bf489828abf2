# SPDX-License-Identifier: GPL-2.0
"""The cost of an event, out of the emulator's notes."""

import unittest

from harness import event_cost
from harness.choices import EventOperations
from harness.event_cost import Cost, Function
from xenrust.failure import Failure

RUST = "_RINvNtNtCs1_11fifo_events3xen10evtchn_ops13handle_eventsNtNtB6_8port_ops11FifoPortOpsEB6_"
SYMBOLS = f"""\
                 U somebody_else
ffffffff81001000 0000000000000005 t evtchn_fifo_handle_events
ffffffff81002000 0000000000000040 t __evtchn_fifo_handle_events
ffffffff81003000 0000000000000040 t {RUST}
ffffffff81004000 0000000000000100 T handle_irq_for_port
ffffffff81005000 T _text
"""
FUNCTIONS = [Function("entry", 0x1000, 0x5), Function("loop", 0x2000, 0x40)]
HANDLER = 0x4000

ENTRY = ((0x1000, "jmp      0x2000"),)
LOOK = ((0x2000, "xchgl    %eax, (%rdi)"), (0x2003, "testl    %eax, %eax"),
        (0x2006, "je       0x2030"))
TAKE = ((0x2008, "lock cmpxchgl %ecx, (%rdi)"), (0x200c, "xchgl    %eax, %ecx"),
        (0x2010, "callq    0x4000"))
AGAIN = ((0x2015, "jne      0x2008"),)
END = ((0x2030, "retq     "),)


def trace(*blocks):
    """The emulator's notes when it runs the BLOCKS; those it has run before it only names."""
    lines, seen = [], set()
    for block in blocks:
        if isinstance(block, str):
            lines.append(block)
            continue
        if block not in seen:
            lines += ["----------------", "IN: "]
            lines += [f"{address:#x}:  0f 1f                    {text}" for address, text in block]
            lines.append("")
        seen.add(block)
        lines.append(f"Trace 0: 0x7fb844fbf8c0 [00000000/{block[0][0]:016x}/00d0c2b3/ff020200] ")
    return lines


def cost(*blocks):
    return event_cost.cost(trace(*blocks), FUNCTIONS, HANDLER)


class Symbols(unittest.TestCase):
    def test_the_functions_are_found(self):
        functions, handler = event_cost.find(SYMBOLS, EventOperations.RUST)
        self.assertEqual(functions, [Function(RUST, 0xffffffff81003000, 0x40)])
        self.assertEqual(handler, 0xffffffff81004000)
        functions, _ = event_cost.find(SYMBOLS, EventOperations.C)
        self.assertEqual([function.start for function in functions],
                         [0xffffffff81001000, 0xffffffff81002000])

    def test_none_or_two_are_not_guessed(self):
        for symbols in (SYMBOLS.replace(RUST, "other"), SYMBOLS + SYMBOLS,
                        SYMBOLS.replace("handle_irq_for_port", "other")):
            with self.assertRaises(Failure):
                event_cost.find(symbols, EventOperations.RUST)


class Costs(unittest.TestCase):
    def test_a_call_with_one_event(self):
        self.assertEqual(cost(ENTRY, LOOK, TAKE, AGAIN, END), Cost(9, 2, 1, 1))

    def test_the_usual_cost_counts(self):
        one, slow = (ENTRY, LOOK, TAKE, AGAIN, END), (ENTRY, LOOK, LOOK, TAKE, AGAIN, END)
        self.assertEqual(cost(*one, *slow, *one), Cost(9, 2, 2, 3))

    def test_calls_with_more_events_or_none_do_not_count(self):
        none, two = (ENTRY, LOOK, END), (ENTRY, LOOK, TAKE, AGAIN, TAKE, AGAIN, END)
        self.assertEqual(cost(*none, ENTRY, LOOK, TAKE, AGAIN, END, *two).calls, 1)
        with self.assertRaises(Failure):
            cost(*none, *two)

    def test_a_block_that_was_stopped_did_not_run(self):
        stopped = "Stopped execution of TB chain before 0x7fb844fbf8c0 [0000000000002008] "
        self.assertEqual(cost(ENTRY, LOOK, TAKE, stopped, TAKE, AGAIN, END), Cost(9, 2, 1, 1))

    def test_a_call_within_a_call_does_not_count(self):
        none = (ENTRY, LOOK, END)
        self.assertEqual(cost(ENTRY, LOOK, TAKE, *none, AGAIN, END,
                              ENTRY, LOOK, TAKE, AGAIN, END).calls, 1)


class Strangers(unittest.TestCase):
    FUNCTION = Function("handle_events", 0x2000, 0x40)
    FINE = """\
0000000000002000 <handle_events>:
    2000:\tje     2030 <handle_events+0x30>
    2002:\tcall   4000 <handle_irq_for_port>
    2007:\tjmp    2000 <handle_events>
    2009:\tret
"""

    def test_the_handler_is_none(self):
        self.assertEqual(event_cost.strangers(self.FINE, self.FUNCTION), [])

    def test_the_report_of_a_lost_queue_is_none(self):
        report = ("_RINvMs2_NtCs1_11fifo_events11event_queueNtB6_6Queues11lead_astray"
                  "NCNvXNtB8_8port_ops_0EB8_")
        disassembly = f"{self.FINE}    200a:\tcall   5000 <{report}>\n"
        self.assertEqual(event_cost.strangers(disassembly, self.FUNCTION), [])

    def test_whatever_else_is(self):
        for text in ("call   5000 <_RNvNtCs1_4core9panicking18panic_bounds_check>",
                     "ja     5000 <_printk>", "call   *%rax", "jmp    *0x8(%rax)", "ud2",
                     "jmp    5000 <handle_events_slowly+0x4>"):
            with self.subTest(text):
                disassembly = f"{self.FINE}    200a:\t{text}\n"
                self.assertEqual(event_cost.strangers(disassembly, self.FUNCTION), [text])

    def test_nothing_disassembled_is_a_failure(self):
        with self.assertRaises(Failure):
            event_cost.strangers("", self.FUNCTION)
