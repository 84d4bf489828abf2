# SPDX-License-Identifier: GPL-2.0
"""The emulator's command lines: which machine and which arguments each kind of boot takes."""

LOG_PORT, RUN_PORT, DOMU_PORT = "log", "run", "domu"
MONITOR_PORT = "monitor"
PORTS = (LOG_PORT, RUN_PORT, DOMU_PORT, MONITOR_PORT)

DOM0_MEMORY = 1024
DEFAULT_MEMORY = 2048

# What asks a kernel for its event channels' port operations: this project's and Linux's own for the
# FIFO ABI, and those for the 2-level ABI. A kernel without a choice passes over the first two.
EVENTS_ARGUMENTS = {
    "rust": "xen.fifo_events_rust=1",
    "c": "xen.fifo_events_rust=0",
    "2-level": "xen.fifo_events=0",
}

# The toolstack's own limit is 1,023, less than a page of the FIFO ABI's event array.
DOMU_EVENT_CHANNELS = 16384


def uses_svm(spec):
    """Whether any guest runs by (emulated) hardware virtualization."""
    return spec.xen and (spec.makes_domains or "pvh" in (spec.dom0, spec.domu))


def command(spec, files, ports):
    """The emulator's argument list. FILES has kernel, initramfs and, with Xen, xen; PORTS is
    the folder with the pipes of the serial ports and of the emulator's monitor."""
    memory = spec.mem or DEFAULT_MEMORY
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-m", str(memory), "-smp", str(spec.smp), *_processor(spec)]
    for port in PORTS:
        argv += ["-chardev", f"pipe,id={port},path={ports / port}"]
    argv += ["-serial", f"chardev:{LOG_PORT}", "-serial", f"chardev:{RUN_PORT}"]
    # The usual interrupt of the third port is the first port's, which Xen keeps for itself.
    argv += ["-device", f"isa-serial,chardev={DOMU_PORT},iobase=0x3e8,irq=5"]
    argv += ["-mon", f"chardev={MONITOR_PORT},mode=control"]
    if spec.display:
        argv += ["-vga", "std"]
    if spec.xen:
        module = f"{files.kernel} {_dom0_arguments(spec)}".replace(",", ",,")
        argv += ["-kernel", str(files.xen), "-append", _xen_arguments(spec),
                 "-initrd", f"{module},{files.initramfs}"]
    else:
        argv += ["-kernel", str(files.kernel), "-initrd", str(files.initramfs),
                 "-append", f"console=ttyS0 {_linux_arguments()} {spec.cmdline}".strip()]
    return argv


def _processor(spec):
    # With RDTSCP, Xen kills a PVH dom0, and a PVH domU hangs, also one that the command makes.
    model = "max,+svm,+npt,-rdtscp" if spec.xen else "max"
    machine = "q35" if spec.xen and spec.dom0 == "pvh" else "pc"
    # One host thread for each processor: a PVH dom0 of several rarely survives a single thread, but
    # an instruction clock is only to be had with that.
    threads = "single" if spec.instruction_clock else "multi"
    argv = ["-machine", machine, "-cpu", model, "-accel", f"tcg,thread={threads}"]
    if spec.instruction_clock:
        # When no processor has work, the clock goes to the next timer at once.
        argv += ["-icount", "shift=0,sleep=off"]
    notes = []
    if spec.xen:
        # The emulator says when a triple fault of Xen's own resets the machine: nobody else does.
        notes.append("cpu_reset")
    if spec.trace:
        # Blocks that go to each other without a way back to the emulator would not be noted.
        notes += ["in_asm", "exec", "nochain"]
        argv += ["-dfilter", ",".join(f"{start:#x}+{size:#x}" for start, size in spec.trace)]
    if notes:
        argv += ["-d", ",".join(notes)]
    if machine == "q35":
        # The firmware leaves ACPI's tables in memory that is merely reserved. Xen shows that to
        # a PVH dom0 only through an IOMMU's identity map; without the tables, dom0 reads ones
        # for their lengths, may hang in them, and gets no interrupts from serial ports.
        argv += ["-device", "amd-iommu"]
    return argv


def _xen_arguments(spec):
    words = ["console=com1", "com1=115200,8n1", "loglvl=all", "guest_loglvl=all",
             # Large enough for the whole log: nothing is dropped, nobody waits.
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
    if spec.dom0 == "pvh":
        words += ["dom0=pvh", "dom0-iommu=map-reserved"]
    return " ".join(words + spec.xen_cmdline.split())


def _dom0_arguments(spec):
    return " ".join(["console=hvc0", _linux_arguments(), EVENTS_ARGUMENTS[spec.events],
                     *spec.cmdline.split()])


def _linux_arguments():
    # A panic ends the machine; the log takes all that user space writes to it.
    return "panic=-1 printk.devkmsg=on loglevel=7"


def domu_configuration(spec, memory):
    """The domU as xl wants to have it described, with MEMORY MiB."""
    # A quotation mark would end the value.
    extra = " ".join(["console=hvc0", _linux_arguments(), EVENTS_ARGUMENTS[spec.events],
                      *spec.domu_cmdline.replace('"', "").split()])
    return f"""\
name = "domU"
type = "{spec.domu}"
kernel = "/boot/vmlinuz"
ramdisk = "/boot/domU-initramfs"
memory = {memory}
vcpus = {spec.domu_vcpus}
max_event_channels = {DOMU_EVENT_CHANNELS}
extra = "{extra}"
on_crash = "preserve"
on_reboot = "destroy"
"""
