# SPDX-License-Identifier: GPL-2.0
"""Arguments of the emulator that machines of all processors have in common."""

import pathlib
from collections.abc import Iterable, Sequence

from ..spec import Place, Spec
from .base import DEFAULT_MEMORY, Port


def machine(spec: Spec, name: str, model: str) -> list[str]:
    """A machine of the kind NAME whose processors are of MODEL."""
    # One host thread for each processor, which an instruction clock is not to be had with.
    threads = "single" if spec.instruction_clock else "multi"
    argv = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-m", str(spec.mem or DEFAULT_MEMORY), "-smp", str(spec.smp),
            "-machine", name, "-cpu", model, "-accel", f"tcg,thread={threads}"]
    if spec.instruction_clock:
        # When no processor has work, the clock goes to the next timer at once.
        argv += ["-icount", "shift=0,sleep=off"]
    return argv


def notes(spec: Spec, always: Sequence[str]) -> list[str]:
    """Events that the emulator writes down: ALWAYS, and those that SPEC asks for."""
    noted = list(always)
    argv = []
    if spec.trace:
        # Without nochain, blocks that jump to each other directly would not be logged.
        noted += ["in_asm", "exec", "nochain"]
        argv += ["-dfilter", _places(spec.trace)]
    elif spec.watched:
        noted.append("in_asm")
        argv += ["-dfilter", _places(spec.watched.places)]
    return ["-d", ",".join(noted), *argv] if noted else []


def pipes(ports: pathlib.Path) -> list[str]:
    """The pipes in the folder PORTS, by the names of the ports, and the monitor at its own."""
    argv = []
    for port in Port:
        argv += ["-chardev", f"pipe,id={port},path={ports / port}"]
    return argv + ["-mon", f"chardev={Port.MONITOR},mode=control"]


def system(spec: Spec) -> list[str]:
    """The folder that an installed system is in."""
    if not spec.system:
        return []
    return ["-fsdev", f"local,id=system,path={quoted(spec.system)},security_model=none,readonly=on",
            "-device", "virtio-9p-pci,fsdev=system,mount_tag=system"]


def quoted(value: object) -> str:
    """VALUE of an option: a comma would end it."""
    return str(value).replace(",", ",,")


def _places(places: Iterable[Place]) -> str:
    return ",".join(f"{start:#x}+{size:#x}" for start, size in places)
