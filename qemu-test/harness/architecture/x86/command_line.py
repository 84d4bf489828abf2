# SPDX-License-Identifier: GPL-2.0
"""Command lines of the emulator: the machine and the arguments of each kind of boot."""

import pathlib
from collections.abc import Iterable

from ...choices import GuestType
from ...guest_arguments import LINUX_ARGUMENTS, dom0_arguments
from ...spec import Place, Spec
from ..base import DEFAULT_MEMORY, DOM0_MEMORY, Files, Port

EMULATOR = "qemu-system-x86_64"
# Console of a kernel without Xen: the first serial port, Port.LOG.
CONSOLE = "ttyS0"


def uses_svm(spec: Spec) -> bool:
    """True if any guest runs by (emulated) hardware virtualization."""
    return spec.xen and (spec.makes_domains or spec.dom0 == GuestType.PVH
                         or spec.domu in (GuestType.PVH, GuestType.HVM))


def command(spec: Spec, files: Files, ports: pathlib.Path) -> list[str]:
    """Command that starts the emulator; PORTS is the folder with the pipes of each `Port`."""
    memory = spec.mem or DEFAULT_MEMORY
    argv = [EMULATOR, "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-m", str(memory), "-smp", str(spec.smp), *_processor(spec)]
    for port in Port:
        argv += ["-chardev", f"pipe,id={port},path={ports / port}"]
    argv += ["-serial", f"chardev:{Port.LOG}", "-serial", f"chardev:{Port.RUN}"]
    # The usual interrupt of the third port is the first port's, which Xen keeps for itself.
    argv += ["-device", f"isa-serial,chardev={Port.DOMU},iobase=0x3e8,irq=5"]
    argv += ["-mon", f"chardev={Port.MONITOR},mode=control"]
    if spec.display:
        argv += ["-vga", "std"]
    if spec.system:
        folder = spec.system.replace(",", ",,")
        argv += ["-fsdev", f"local,id=system,path={folder},security_model=none,readonly=on",
                 "-device", "virtio-9p-pci,fsdev=system,mount_tag=system"]
    if spec.xen:
        module = f"{files.kernel} {dom0_arguments(spec)}".replace(",", ",,")
        argv += ["-kernel", str(files.xen), "-append", _xen_arguments(spec),
                 "-initrd", f"{module},{files.initramfs}"]
    else:
        argv += ["-kernel", str(files.kernel), "-initrd", str(files.initramfs),
                 "-append", f"console={CONSOLE} {LINUX_ARGUMENTS} {spec.cmdline}".strip()]
    return argv


def _processor(spec: Spec) -> list[str]:
    # With RDTSCP, Xen kills a PVH dom0, and a PVH domU hangs, also one that the command makes.
    model = "max,+svm,+npt,-rdtscp" if spec.xen else "max"
    machine = "q35" if spec.xen and spec.dom0 == GuestType.PVH else "pc"
    # One host thread for each processor: a PVH dom0 of several rarely survives a single thread, but
    # an instruction clock is only to be had with that.
    threads = "single" if spec.instruction_clock else "multi"
    argv = ["-machine", machine, "-cpu", model, "-accel", f"tcg,thread={threads}"]
    if spec.instruction_clock:
        # When no processor has work, the clock goes to the next timer at once.
        argv += ["-icount", "shift=0,sleep=off"]
    notes = []
    if spec.xen:
        # Only the emulator reports that a triple fault of Xen itself resets the machine.
        notes.append("cpu_reset")
    if spec.trace:
        # Without nochain, blocks that jump to each other directly would not be logged.
        notes += ["in_asm", "exec", "nochain"]
        argv += ["-dfilter", _places(spec.trace)]
    elif spec.watched:
        notes.append("in_asm")
        argv += ["-dfilter", _places(spec.watched.places)]
    if notes:
        argv += ["-d", ",".join(notes)]
    if machine == "q35":
        # The firmware leaves ACPI's tables in memory that is merely reserved. Xen shows that to
        # a PVH dom0 only through an IOMMU's identity map; without the tables, dom0 reads ones
        # for their lengths, may hang in them, and gets no interrupts from serial ports.
        argv += ["-device", "amd-iommu"]
    return argv


def _places(places: Iterable[Place]) -> str:
    return ",".join(f"{start:#x}+{size:#x}" for start, size in places)


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
