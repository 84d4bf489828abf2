# SPDX-License-Identifier: GPL-2.0
"""Detection of a processor that the emulator does not wake up.

The processor halts with interrupts enabled, and its local APIC has a pending interrupt for it that
nothing blocks, but it stays halted. Hardware does not do that, and no guest can cause it. A machine
that waits for an interrupt which is never sent is another case: no interrupt is pending there.
"""

import functools
import re
from collections.abc import Callable

from ...monitor import Monitor
from ..base import Watch

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


class HaltedProcessorWatch(Watch):
    """Watch for a processor that is not woken up. It queries MONITOR and calls FOUND with a text
    that names the processor."""

    def __init__(self, monitor: Monitor, found: Callable[[str], None]) -> None:
        self._monitor = monitor
        self._found = found
        self.forget()

    def forget(self) -> None:
        # Vectors that were pending for each processor in each of the last looks.
        self._pending: dict[int, list[set[int]]] = {}

    def look(self) -> None:
        self._monitor.ask_person("info registers -a", self._read_registers)

    def _read_registers(self, text: str) -> None:
        waiting = waiting_processors(text)
        self._pending = {number: self._pending.get(number, []) for number in waiting}
        for number in waiting:
            self._monitor.ask_person(f"info lapic {number}",
                                     functools.partial(self._read_apic, number))

    def _read_apic(self, number: int, text: str) -> None:
        looks = self._pending.get(number, [])
        looks.append(deliverable_vectors(text))
        always = set.intersection(*looks[-LOOKS:])
        if len(looks) >= LOOKS and always:
            listed = ", ".join(map(str, sorted(always)))
            self._found(f"processor {number} halts although interrupts are pending: {listed}")


def waiting_processors(registers: str) -> list[int]:
    """The numbers of the processors that halt until an interrupt comes."""
    parts = PROCESSOR.split(registers)[1:]
    return [int(number) for number, text in zip(parts[::2], parts[1::2])
            if HALTED.search(text) and _hex(FLAGS, text) & INTERRUPTS_ENABLED]


def deliverable_vectors(apic: str) -> set[int]:
    """The interrupts that a local APIC has for its processor, but for those that are held back."""
    requested = REQUESTED.search(apic)
    if not requested:
        return set()
    priority = _hex(PRIORITY, apic) & CLASS
    return {int(vector) for vector in requested[1].split() if int(vector) & CLASS > priority}


def _hex(pattern: re.Pattern[str], text: str) -> int:
    """The hexadecimal number that PATTERN finds in TEXT."""
    found = pattern.search(text)
    if not found:
        raise ValueError(f"the emulator's monitor says no {pattern.pattern}")
    return int(found[1], 16)
