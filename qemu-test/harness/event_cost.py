# SPDX-License-Identifier: GPL-2.0
"""Cost of one event in the port operations' handle_events(), in instructions.

Time on an emulator says little about a processor. Instructions can be counted exactly: the emulator
writes each block of them that it runs to the log, and of the blocks of these functions this adds
up those between the entry and the return. Only calls that had exactly one event to hand on count.
"""

import collections
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from xenrust.failure import Failure

from .choices import EventOperations

# The functions by the names that nm prints. The first is where events_base.c comes in.
FUNCTIONS = {
    EventOperations.RUST: (re.compile(r"_R\w*10evtchn_ops13handle_events\w*"),),
    EventOperations.C: (re.compile(r"evtchn_fifo_handle_events"),
                        re.compile(r"__evtchn_fifo_handle_events")),
}
HANDLER = "handle_irq_for_port"
# Function that the port operations in Rust call when a queue has ended for good.
ASTRAY = re.compile(r"_R\w*11event_queue\w*11lead_astray\w*")

SYMBOL = re.compile(r"([0-9a-f]+) (?:([0-9a-f]+) )?[A-Za-z] (\S+)")
INSTRUCTION = re.compile(r"0x([0-9a-f]+): +(?:[0-9a-f]{2} )+ *(.+)")
RUN = re.compile(r"Trace \d+: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/.*")
NOT_RUN = re.compile(r"Stopped execution of TB chain before 0x[0-9a-f]+ \[[0-9a-f]+\].*")
# An exchange with memory is locked without saying so.
LOCKED = re.compile(r"lock .*|xchg\w* .*\(.*")
CALL = re.compile(r"call\w* +0x([0-9a-f]+)")

# Instructions of a disassembly that leave a function: a call or a jump, of which the latter may
# stay inside; or a trap.
LEAVE = re.compile(r"(call|j\w+) +(?:[0-9a-f]+ <([^>+]+)(?:\+0x[0-9a-f]+)?>|(\*.+))")
TRAP = re.compile(r"(ud\d|int3?)\b.*")


@dataclass(frozen=True)
class Function:
    """A function in a kernel's image."""
    name: str
    start: int
    size: int

    def has(self, address: int) -> bool:
        """True if ADDRESS is in it."""
        return self.start <= address < self.start + self.size


@dataclass(frozen=True)
class Cost:
    """Cost of one event."""
    instructions: int
    # Instructions with a lock prefix, or with an implied one.
    locked: int
    # Number of calls that took exactly this, and of all that had one event.
    times: int
    calls: int

    def __str__(self) -> str:
        return (f"{self.instructions} instructions, {self.locked} of them locked, in {self.times} "
                f"of {self.calls} calls")


def find(symbols: str, which: EventOperations) -> tuple[list[Function], int]:
    """The functions of the port operations WHICH and the address of the interrupts' handler, in
    the output of `nm -S`."""
    found: dict[str, list[tuple[int, int]]] = {}
    for line in symbols.splitlines():
        symbol = SYMBOL.fullmatch(line)
        if symbol:
            found.setdefault(symbol[3], []).append((int(symbol[1], 16), int(symbol[2] or "0", 16)))
    functions = []
    for name in FUNCTIONS[which]:
        places = [(symbol, *place) for symbol, where in found.items() if name.fullmatch(symbol)
                  for place in where]
        if len(places) != 1:
            raise Failure(f"the kernel has {len(places)} functions that could be {name.pattern}")
        functions.append(Function(*places[0]))
    if len(found.get(HANDLER, ())) != 1:
        raise Failure(f"the kernel has no function {HANDLER}, or several")
    return functions, found[HANDLER][0][0]


def cost(lines: Iterable[str], functions: Sequence[Function], handler: int) -> Cost:
    """The most frequent cost of an event, in the emulator's LINES about the FUNCTIONS."""
    blocks = _Blocks(lines)
    calls = [call for call in _calls(blocks.run, functions)
             if sum(_target(text) == handler for text in call) == 1]
    if not calls:
        raise Failure("no call of handle_events() with one event is in the log")
    costs = collections.Counter((len(call), sum(bool(LOCKED.fullmatch(text)) for text in call))
                                for call in calls)
    (instructions, locked), times = costs.most_common(1)[0]
    return Cost(instructions, locked, times, len(calls))


# Address of a block and its instructions; None if the emulator did not print them.
Block = tuple[int, list[str] | None]


class _Blocks:
    """The blocks of instructions in the order in which they were run."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.run: list[Block] = []
        translated: dict[int, list[str]] = {}
        block: list[str] | None = None
        begins: int | None = None
        for line in lines:
            instruction = INSTRUCTION.fullmatch(line)
            run = RUN.fullmatch(line)
            if line.startswith("IN:"):
                block, begins = [], None
            elif instruction and block is not None:
                if begins is None:
                    begins = int(instruction[1], 16)
                    translated[begins] = block
                block.append(instruction[2].strip())
            elif run:
                address = int(run[1], 16)
                self.run.append((address, translated.get(address)))
            elif NOT_RUN.fullmatch(line) and self.run:
                self.run.pop()


def _calls(run: list[Block], functions: Sequence[Function]) -> Iterator[list[str]]:
    """The instructions of each call that went from its entry to its return undisturbed."""
    call: list[str] | None = None
    for address, block in run:
        if address == functions[0].start:
            call = []
        if call is None:
            continue
        if block is None or not any(function.has(address) for function in functions):
            call = None
            continue
        call += block
        if re.match(r"ret", block[-1]):
            yield call
            call = None


def _target(instruction: str) -> int | None:
    called = CALL.fullmatch(instruction)
    return int(called[1], 16) if called else None


def strangers(disassembly: str, function: Function) -> list[str]:
    """Instructions by which FUNCTION can go elsewhere than to the interrupts' handler, or to what
    reports a queue that has ended (a panic, for one), in the output of
    `objdump -d --no-show-raw-insn`."""
    found = []
    texts = [line.split("\t", 1)[1].strip() for line in disassembly.splitlines() if "\t" in line]
    if not texts:
        raise Failure(f"there is no disassembly of {function.name}")
    for text in texts:
        leave = LEAVE.match(text)
        if TRAP.fullmatch(text) or leave and not _is_expected(leave[2], function):
            found.append(text)
    return found


def _is_expected(target: str | None, function: Function) -> bool:
    """True if FUNCTION may go to TARGET; None is an address that is computed."""
    return target is not None and (target in (function.name, HANDLER)
                                   or ASTRAY.fullmatch(target) is not None)
