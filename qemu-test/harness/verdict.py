# SPDX-License-Identifier: GPL-2.0
"""The verdict on one run of a machine: a death of the emulator is told from a failure of the
software in it.

A test that fails after its domU has died of the emulator says nothing of that test. The caller
repeats a boot that the emulator ended a bounded number of times, so even a fault of ours that looks
like the emulator's would show, as soon as it is not rare.
"""

import pathlib
from dataclasses import dataclass

from .architecture.base import Architecture
from .boot_log import Lines, Source
from .ending import BootEnd, MachineEnd, MachineRun
from .ktap import is_failed_test
from .spec import Spec


@dataclass(frozen=True)
class Verdict:
    """End of a boot and the reason for it."""
    end: BootEnd
    reason: str


def judge(architecture: Architecture, spec: Spec, run: MachineRun, lines: Lines,
          symbols: pathlib.Path | None = None) -> Verdict:
    """Verdict on RUN of the machine of SPEC, with the log LINES. SYMBOLS is the kernel's
    System.map."""
    if run.end == MachineEnd.LEFT:
        return Verdict(BootEnd.LEFT, run.reason)
    has_ended = run.end == MachineEnd.EXIT
    if has_ended and not _died_under_command(architecture, run, lines):
        return Verdict(BootEnd.EXIT, run.reason)
    death = architecture.emulator_death(spec, run, lines, symbols)
    if death:
        return Verdict(BootEnd.EMULATOR, death)
    if run.end == MachineEnd.TIMEOUT:
        return Verdict(BootEnd.TIMEOUT, run.reason)
    return Verdict(BootEnd.EXIT if has_ended else BootEnd.DIED, run.reason)


def _died_under_command(architecture: Architecture, run: MachineRun, lines: Lines) -> bool:
    """True if a domain died and the command fails, by its status or by a test in its output after
    that: the death is to blame."""
    following = iter(lines)
    died = any(architecture.is_guest_fault(line.text) for line in following)
    # The rest of the iterator came after the death.
    return died and (run.status != 0 or any(
        line.source == Source.RUN and is_failed_test(line.text) for line in following))
