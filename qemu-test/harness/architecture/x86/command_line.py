# SPDX-License-Identifier: GPL-2.0
"""Command lines of the emulator: the machine and the arguments of each kind of boot."""

import pathlib

from ...choices import GuestType
from ...guest_arguments import LINUX_ARGUMENTS, dom0_arguments
from ...spec import Spec
from .. import emulator
from ..base import DOM0_MEMORY, Files, Port

EMULATOR = "qemu-system-x86_64"
# Console of a kernel without Xen: the first serial port, Port.LOG.
CONSOLE = "ttyS0"


def uses_svm(spec: Spec) -> bool:
    """True if any guest runs by (emulated) hardware virtualization."""
    return spec.xen and (spec.makes_domains or spec.dom0 == GuestType.PVH
                         or spec.domu in (GuestType.PVH, GuestType.HVM))


def command(spec: Spec, files: Files, ports: pathlib.Path) -> list[str]:
    """Command that starts the emulator; PORTS is the folder with the pipes of each `Port`."""
    argv = [EMULATOR, *_machine(spec), *emulator.pipes(ports),
            "-serial", f"chardev:{Port.LOG}", "-serial", f"chardev:{Port.RUN}",
            # The usual interrupt of the third port is the first port's, which Xen keeps for itself.
            "-device", f"isa-serial,chardev={Port.DOMU},iobase=0x3e8,irq=5"]
    if spec.display:
        argv += ["-vga", "std"]
    argv += emulator.system(spec)
    if spec.xen:
        module = emulator.quoted(f"{files.kernel} {dom0_arguments(spec)}")
        argv += ["-kernel", str(files.xen), "-append", _xen_arguments(spec),
                 "-initrd", f"{module},{files.initramfs}"]
    else:
        argv += ["-kernel", str(files.kernel), "-initrd", str(files.initramfs),
                 "-append", f"console={CONSOLE} {LINUX_ARGUMENTS} {spec.cmdline}".strip()]
    return argv


def _machine(spec: Spec) -> list[str]:
    # With RDTSCP, Xen kills a PVH dom0, and a PVH domU hangs, also one that the command makes.
    model = "max,+svm,+npt,-rdtscp" if spec.xen else "max"
    machine = "q35" if spec.xen and spec.dom0 == GuestType.PVH else "pc"
    # A PVH dom0 of several processors rarely survives a single thread of the host.
    argv = emulator.machine(spec, machine, model)
    # Only the emulator reports that a triple fault of Xen itself resets the machine.
    argv += emulator.notes(spec, ["cpu_reset"] if spec.xen else [])
    if machine == "q35":
        # The firmware leaves ACPI's tables in memory that is merely reserved. Xen shows that to
        # a PVH dom0 only through an IOMMU's identity map; without the tables, dom0 reads ones
        # for their lengths, may hang in them, and gets no interrupts from serial ports.
        argv += ["-device", "amd-iommu"]
    return argv


def _xen_arguments(spec: Spec) -> str:
    words = ["console=com1", "com1=115200,8n1", "loglvl=all", "guest_loglvl=all",
             # Large enough for the whole log: no output is dropped, and Xen never waits for it.
             "serial_tx_buffer=1M",
             # The emulator's memory is fresh; clearing it again would only take time.
             "bootscrub=0",
             f"dom0_mem={DOM0_MEMORY}M,max:{DOM0_MEMORY}M",
             f"dom0_max_vcpus={spec.dom0_vcpus or spec.smp}",
             # When Xen hands the FPU over lazily, by a trap in the guest, the emulator now and
             # then leaves a program with registers that are not its own, in a guest of any type.
             "spec-ctrl=eager-fpu"]
    if spec.instruction_clock:
        # The emulator ends when a timer is set by an x2APIC's register, with "Bad icount read".
        words.append("x2apic=0")
    if spec.dom0 == GuestType.PVH:
        words += ["dom0=pvh", "dom0-iommu=map-reserved"]
    return " ".join(words + spec.xen_cmdline.split())
