# SPDX-License-Identifier: GPL-2.0
"""Detection of an interrupt that a guest took while it had interrupts disabled.

A processor that virtualizes tells the hypervisor which event it was delivering when the guest
stopped, and the hypervisor injects that again. The emulator sometimes names one that the guest has
had: the guest takes the interrupt a second time within the handler of the first, and waits for ever
for a lock that it holds itself. Hardware delivers no interrupt to a guest that has them disabled,
and nothing in the guest can cause it.

The proof is on the guest's stack, which Xen prints for its debug key 0: the registers that the
kernel's interrupt entry saved have interrupts disabled. The kernel's symbols tell that entry from
those of exceptions.
"""

import bisect
import functools
import pathlib
import re
from collections.abc import Iterator, Sequence

from ...boot_log import Lines, Source

STACK = re.compile(r"\(XEN\) Guest stack trace from sp=")
WORDS = re.compile(r"\(XEN\)((?: +[0-9a-f]{16})+)$")
ENTRY = re.compile(r"asm_(common_interrupt|sysvec_\w+)")

# Words from the return address into the entry's code to the saved CS and flags: 15 registers, the
# entry's own number, and the instruction pointer are between.
CODE_SEGMENT, FLAGS = 18, 19
KERNEL_CODE = 0x10
# The bit of the flags that is always set, and the one that enables interrupts.
ALWAYS, ENABLED = 1 << 1, 1 << 9


class Entries:
    """Interrupt entries of a kernel, by its symbols."""

    def __init__(self, symbols: str) -> None:
        """SYMBOLS is the text of a System.map."""
        known = sorted((int(address, 16), name) for address, _, name in
                       (line.split() for line in symbols.splitlines()))
        self._starts = [address for address, _ in known]
        self._names = [name for _, name in known]

    @classmethod
    @functools.cache
    def of(cls, path: pathlib.Path) -> "Entries":
        """Those of the System.map at PATH."""
        return cls(path.read_text(encoding="ascii"))

    def contain(self, address: int) -> bool:
        """True for an address in the code of an entry, behind its first instruction."""
        index = bisect.bisect_left(self._starts, address) - 1
        return index >= 0 and ENTRY.fullmatch(self._names[index]) is not None


def is_seen(lines: Lines, entries: Entries) -> bool:
    """True if a stack in LINES has such an interrupt of a kernel with ENTRIES."""
    return any(_has_nested_interrupt(stack, entries) for stack in _stacks(lines))


def _has_nested_interrupt(stack: Sequence[int], entries: Entries) -> bool:
    return any(entries.contain(stack[index])
               and stack[index + CODE_SEGMENT] == KERNEL_CODE
               and stack[index + FLAGS] & (ALWAYS | ENABLED) == ALWAYS
               for index in range(len(stack) - FLAGS))


def _stacks(lines: Lines) -> Iterator[list[int]]:
    """The stacks of guests that Xen has printed, in words."""
    stack: list[int] | None = None
    for line in lines:
        if line.source != Source.XEN:
            continue
        words = WORDS.search(line.text)
        if words and stack is not None:
            stack.extend(int(word, 16) for word in words[1].split())
            continue
        if stack:
            yield stack
        stack = [] if STACK.search(line.text) else None
    if stack:
        yield stack
