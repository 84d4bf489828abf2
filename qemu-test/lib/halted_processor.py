# SPDX-License-Identifier: GPL-2.0
"""Finds a processor that the emulator has forgotten.

It halts and waits for interrupts, its local APIC has one for it that nothing holds back, and still
it does not go on. No hardware does that, and no guest can bring it about. A machine that waits for
an interrupt which nobody sends is not such a one: nothing is pending there.
"""

import re

PROCESSOR = re.compile(r"^CPU#(\d+)", re.MULTILINE)
FLAGS = re.compile(r"\b[ER]FL=([0-9a-f]+)")
HALTED = re.compile(r"\bHLT=1\b")
REQUESTED = re.compile(r"^IRR\t (\d.*?)\s*$", re.MULTILINE)
PRIORITY = re.compile(r"\bPPR 0x([0-9a-f]+)")

INTERRUPTS_ENABLED = 1 << 9
# A vector's upper bits, which are compared with those of the processor's priority.
CLASS = 0xF0

# An interrupt may arrive while the monitor looks, but not each time the same.
LOOKS = 3


class Watch:
    """Looks by a MONITOR whether a processor is forgotten, and calls FOUND with a text that says
    so."""

    def __init__(self, monitor, found):
        self._monitor = monitor
        self._found = found
        self.forget()

    def forget(self):
        """The machine goes on: what was seen says nothing any more."""
        # What was pending for each processor in each of the last looks.
        self._pending = {}

    def look(self):
        """Look once more."""
        self._monitor.ask_person("info registers -a", self._read_registers)

    def _read_registers(self, text):
        waiting = waiting_processors(text)
        self._pending = {number: self._pending.get(number, []) for number in waiting}
        for number in waiting:
            self._monitor.ask_person(f"info lapic {number}",
                                     lambda answer, number=number: self._read_apic(number, answer))

    def _read_apic(self, number, text):
        looks = self._pending.get(number, [])
        looks.append(deliverable_vectors(text))
        always = set.intersection(*looks[-LOOKS:])
        if len(looks) >= LOOKS and always:
            listed = ", ".join(map(str, sorted(always)))
            self._found(f"processor {number} halts although interrupts are pending: {listed}")


def waiting_processors(registers):
    """The numbers of the processors that halt until an interrupt comes."""
    parts = PROCESSOR.split(registers)[1:]
    return [int(number) for number, text in zip(parts[::2], parts[1::2])
            if HALTED.search(text) and int(FLAGS.search(text)[1], 16) & INTERRUPTS_ENABLED]


def deliverable_vectors(apic):
    """The interrupts that a local APIC has for its processor, but for those that are held back."""
    requested = REQUESTED.search(apic)
    if not requested:
        return set()
    priority = int(PRIORITY.search(apic)[1], 16) & CLASS
    return {int(vector) for vector in requested[1].split() if int(vector) & CLASS > priority}
