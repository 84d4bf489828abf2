# SPDX-License-Identifier: GPL-2.0
"""64-bit x86: a PC in QEMU, whose Xen is loaded by multiboot."""

import gzip
import pathlib
from collections.abc import Callable

from xenrust.failure import Failure

from ...boot_log import Lines
from ...choices import GuestType
from ...ending import MachineRun
from ...monitor import Monitor
from ...spec import Spec
from ..base import Architecture, Files, Watch
from . import command_line, emulator_death, nested_interrupt
from .halted_processor import HaltedProcessorWatch
from .nested_interrupt import Entries

XEN_IMAGE = "xen-*-amd64.gz"


class X86(Architecture):
    """64-bit x86."""
    title = "x86_64"
    elf_machine = 62
    library_folder = "usr/lib/x86_64-linux-gnu"
    # From the end of a kernel's image of 512 MiB, which is not moved, to the fixed mappings.
    module_area = (0xffffffffa0000000, 0x5f000000)
    dom0_types = (GuestType.PV, GuestType.PVH)
    domu_types = (GuestType.PV, GuestType.PVH, GuestType.HVM)
    run_device = "/dev/ttyS1"
    domu_device = "/dev/ttyS2"

    def hypervisor(self, root: pathlib.Path) -> bytes:
        images = sorted((root / "boot").glob(XEN_IMAGE))
        if not images:
            raise Failure("the build root has no Xen; run scripts/build-root to bring it up to "
                          "date")
        # QEMU's loader does not unpack.
        return gzip.decompress(images[-1].read_bytes())

    def command(self, spec: Spec, files: Files, ports: pathlib.Path) -> list[str]:
        return command_line.command(spec, files, ports)

    def watch(self, monitor: Monitor, found: Callable[[str], None]) -> Watch:
        return HaltedProcessorWatch(monitor, found)

    def has_impossible_stack(self, lines: Lines, symbols: pathlib.Path) -> bool:
        return nested_interrupt.is_seen(lines, Entries.of(symbols))

    def emulator_death(self, spec: Spec, run: MachineRun, lines: Lines,
                       symbols: pathlib.Path | None) -> str | None:
        if not command_line.uses_svm(spec):
            return None
        return emulator_death.find(run, lines, Entries.of(symbols) if symbols else None)

    def is_guest_fault(self, text: str) -> bool:
        return emulator_death.TRIPLE_FAULT.search(text) is not None
