# SPDX-License-Identifier: GPL-2.0
"""Ends of a machine and of a boot."""

import enum
from dataclasses import dataclass, field

# Stage before the guest's init has said anything, and the one in which the command runs.
START, RUN = "start", "run"


class MachineEnd(enum.StrEnum):
    """Event that ended one run of a machine."""
    # The command ended.
    EXIT = "exit"
    # The person left the shell.
    LEFT = "left"
    # The guest's init gave up.
    FAILED = "failed"
    # A limit was passed.
    TIMEOUT = "timeout"
    # No word came before init started.
    SILENT = "silent"
    # The emulator forgot a processor.
    HALTED = "halted"
    # The machine or the emulator ended by itself.
    DIED = "died"


@dataclass
class MachineRun:
    """One run of a machine."""
    end: MachineEnd = MachineEnd.DIED
    status: int = 0
    reason: str = ""
    stage: str = START
    # Output of the command.
    output: bytearray = field(default_factory=bytearray)
    seconds: float = 0.0


class BootEnd(enum.StrEnum):
    """End of a boot, after the verdict on the run of its machine."""
    EXIT = "exit"
    LEFT = "left"
    TIMEOUT = "timeout"
    DIED = "died"
    # A fault of the emulator, not of any software in the machine.
    EMULATOR = "emulator"
