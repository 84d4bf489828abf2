# SPDX-License-Identifier: GPL-2.0
"""One boot as it is asked for."""

from dataclasses import dataclass

from xenrust.processor import Processor

from .choices import Driver, EventOperations, GuestType
from .limits import BootLimits

# A file or folder of the host, and its place in the guest; None for the usual place.
Addition = tuple[str, str | None]
# Part of a guest's memory, by address and size.
Place = tuple[int, int]


@dataclass(frozen=True)
class Watched:
    """Code of guests, and the folder that gets a file with the blocks of it that were run."""
    places: tuple[Place, ...]
    folder: str


@dataclass(frozen=True)
class Spec:
    """One boot. Each field up to `display` is an option of qemu-test/boot, whose --help explains
    it."""
    dom0: GuestType = GuestType.PV
    domu: GuestType = GuestType.NONE
    gntdev: Driver = Driver.RUST
    events: EventOperations = EventOperations.RUST
    config: str = "dom0"
    xen: bool = True
    toolstack: bool = True
    smp: int = 2
    dom0_vcpus: int | None = None
    domu_vcpus: int = 1
    mem: int | None = None
    domu_mem: int | None = None
    add: tuple[Addition, ...] = ()
    run: str | None = None
    domu_add: tuple[Addition, ...] = ()
    domu_run: str | None = None
    cmdline: str = ""
    domu_cmdline: str = ""
    xen_cmdline: str = ""
    limits: BootLimits = BootLimits()
    log: str | None = None
    shell: bool = False
    display: bool = False
    processor: Processor = Processor.X86_64
    # The command makes domains of any type.
    makes_domains: bool = False
    # End as soon as the kernel of any domain dies.
    end_at_death: bool = False
    # File of a module that takes the place of the kernel's own C driver.
    c_module: str | None = None
    # Places in the kernel of which the log has each block of instructions each time it is run.
    trace: tuple[Place, ...] = ()
    # Code of which a file gets each block that is run at all.
    watched: Watched | None = None
    # The machine's clocks go on by a nanosecond for each instruction that it runs.
    instruction_clock: bool = False
    # The emulator takes only the processor time that others leave.
    in_background: bool = False
    # Root of a Debian system that has the kernel installed. dom0 is that system, with its own init,
    # which loads the drivers and starts Xen's tools; changes to files stay in the machine.
    system: str | None = None

    @property
    def has_domu(self) -> bool:
        """True if a domU is started."""
        return self.domu != GuestType.NONE

    def describe(self) -> str:
        """One line for messages: the guests, and all that is not the usual."""
        if not self.xen:
            return f"kernel {self.config} without Xen"
        processor = "" if self.processor is Processor.X86_64 else f"{self.processor} "
        guests = f"{processor}{self.dom0.upper()} dom0"
        if self.has_domu:
            guests += f" and {self.domu.upper()} domU"
        kernel = "" if self.config == "dom0" else f", {self.config} kernel"
        driver = {Driver.RUST: "Rust", Driver.C: "changed C" if self.c_module else "C"}[self.gntdev]
        drivers = "installed system" if self.system else f"{driver} gntdev"
        events = {EventOperations.RUST: "", EventOperations.C: ", C events",
                  EventOperations.TWO_LEVEL: ", 2-level events"}[self.events]
        vcpus = f", {self.dom0_vcpus} vCPUs in dom0" if self.dom0_vcpus else ""
        if self.has_domu and self.domu_vcpus > 1:
            vcpus += f", {self.domu_vcpus} in the domU"
        return f"{guests}{kernel}, {drivers}{events}{vcpus}"
