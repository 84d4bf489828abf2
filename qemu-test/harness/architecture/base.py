# SPDX-License-Identifier: GPL-2.0
"""Everything that depends on the emulated processor, as the other modules see it."""

import abc
import enum
import pathlib
from collections.abc import Callable
from dataclasses import dataclass

from ..boot_log import Lines
from ..choices import GuestType
from ..ending import MachineRun
from ..monitor import Monitor
from ..spec import Place, Spec

# In MiB.
DOM0_MEMORY = 1024
DEFAULT_MEMORY = 2048


class Port(enum.StrEnum):
    """Pipes between the emulator and the harness: three serial ports and the monitor."""
    LOG = "log"
    RUN = "run"
    DOMU = "domu"
    MONITOR = "monitor"


@dataclass(frozen=True)
class Files:
    """Files that a machine starts from."""
    folder: pathlib.Path
    kernel: pathlib.Path
    initramfs: pathlib.Path
    # Of a boot with Xen only.
    xen: pathlib.Path
    # The kernel's System.map, if it came with one.
    symbols: pathlib.Path | None = None


class Watch(abc.ABC):
    """Watch for a machine that the emulator has halted."""

    @abc.abstractmethod
    def look(self) -> None:
        """Check once."""

    @abc.abstractmethod
    def forget(self) -> None:
        """Discard earlier checks: the machine has made progress."""


class Architecture(abc.ABC):
    """An emulated processor and the machine around it."""
    # The processor's name in messages, and its EM_* number of the ELF specification.
    title: str
    elf_machine: int
    # Folder of libraries in the build root and in guests.
    library_folder: str
    # Addresses at which kernels have modules.
    module_area: Place
    # Types of dom0, the usual one first, and of a domU.
    dom0_types: tuple[GuestType, ...]
    domu_types: tuple[GuestType, ...]
    # Serial ports of dom0 that Port.RUN and Port.DOMU are.
    run_device: str
    domu_device: str

    @abc.abstractmethod
    def hypervisor(self, root: pathlib.Path) -> bytes:
        """The hypervisor of the build root ROOT, as the emulator loads it."""

    @abc.abstractmethod
    def command(self, spec: Spec, files: Files, ports: pathlib.Path) -> list[str]:
        """Command that starts the emulator; PORTS is the folder with the pipes of each `Port`."""

    @abc.abstractmethod
    def watch(self, monitor: Monitor, found: Callable[[str], None]) -> Watch:
        """A watch that calls FOUND with a description of the fault."""

    @abc.abstractmethod
    def has_impossible_stack(self, lines: Lines, symbols: pathlib.Path) -> bool:
        """True if a guest's stack in LINES shows what no hardware does. SYMBOLS is its kernel's
        System.map."""

    @abc.abstractmethod
    def emulator_death(self, spec: Spec, run: MachineRun, lines: Lines,
                       symbols: pathlib.Path | None) -> str | None:
        """Name of the emulator's fault that ended RUN, or kept it from its end; None if anything
        else may have done so. SYMBOLS is the kernel's System.map, if there is one."""

    @abc.abstractmethod
    def is_guest_fault(self, text: str) -> bool:
        """True for the hypervisor's message about a domain that has died of a fault which may be
        the emulator's."""
