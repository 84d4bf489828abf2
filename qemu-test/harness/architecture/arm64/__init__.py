# SPDX-License-Identifier: GPL-2.0
"""64-bit ARM: QEMU's virtual board, on which Xen finds dom0 by the device tree."""

import pathlib
from collections.abc import Callable

from xenrust.failure import Failure

from ...boot_log import Lines
from ...choices import GuestType
from ...ending import MachineRun
from ...monitor import Monitor
from ...spec import Spec
from ..base import Architecture, Files, Watch
from . import command_line

# The plain image, beside which are one for UEFI and the configuration.
XEN_IMAGE = "xen-*-arm64"


class Arm64(Architecture):
    """64-bit ARM. No fault of the emulator is known that ends its machines."""
    title = "arm64"
    elf_machine = 183
    library_folder = "usr/lib/aarch64-linux-gnu"
    # 2 GiB below the image of a kernel that is not moved.
    module_area = (0xffff800000000000, 0x80000000)
    # All domains are of one kind, which runs by hardware virtualization without emulated devices.
    dom0_types = (GuestType.PVH,)
    domu_types = (GuestType.PVH,)
    # The board's own serial port is Xen's. These two are on a PCI card.
    run_device = "/dev/ttyS0"
    domu_device = "/dev/ttyS1"

    def hypervisor(self, root: pathlib.Path) -> bytes:
        images = sorted((root / "boot").glob(XEN_IMAGE))
        if not images:
            raise Failure(f"{root} has no Xen; remove it to have it made again")
        return images[-1].read_bytes()

    def command(self, spec: Spec, files: Files, ports: pathlib.Path) -> list[str]:
        return command_line.command(spec, files, ports)

    def watch(self, monitor: Monitor, found: Callable[[str], None]) -> Watch:
        return _NoWatch()

    def has_impossible_stack(self, lines: Lines, symbols: pathlib.Path) -> bool:
        return False

    def emulator_death(self, spec: Spec, run: MachineRun, lines: Lines,
                       symbols: pathlib.Path | None) -> str | None:
        return None

    def is_guest_fault(self, text: str) -> bool:
        return False


class _NoWatch(Watch):
    """Watch of a machine that the emulator does not halt."""

    def look(self) -> None:
        pass

    def forget(self) -> None:
        pass
