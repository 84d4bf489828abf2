# SPDX-License-Identifier: GPL-2.0
"""Command lines of the emulator: the machine and the arguments of each kind of boot."""

import pathlib
import shlex

from ...guest_arguments import LINUX_ARGUMENTS, dom0_arguments
from ...spec import Spec
from .. import emulator
from ..base import DOM0_MEMORY, Files, Port
from .device_tree import Module, additions

EMULATOR = "qemu-system-aarch64"
# Linux and Xen would prefer ACPI, whose tables do not name the files that the emulator loads.
MACHINE = "virt,virtualization=on,gic-version=3,acpi=off"
MODEL = "cortex-a57"
# Console of a kernel without Xen: the board's serial port, Port.LOG.
CONSOLE = "ttyAMA0"
# The same in the board's device tree.
XEN_CONSOLE = "/pl011@9000000"

# Places of files in the machine's memory, which begins at 1 GiB with Xen and the device tree.
KERNEL_ADDRESS = 0x50000000
INITRAMFS_ADDRESS = 0x60000000


def command(spec: Spec, files: Files, ports: pathlib.Path) -> list[str]:
    """Command that starts the emulator; PORTS is the folder with the pipes of each `Port`."""
    machine = emulator.machine(spec, MACHINE, MODEL)
    argv = [EMULATOR, *machine, *emulator.notes(spec, []), *emulator.pipes(ports),
            "-serial", f"chardev:{Port.LOG}",
            "-device", f"pci-serial-2x,chardev1={Port.RUN},chardev2={Port.DOMU}"]
    if spec.display:
        argv += ["-device", "bochs-display"]
    argv += emulator.system(spec)
    if not spec.xen:
        return argv + ["-kernel", str(files.kernel), "-initrd", str(files.initramfs),
                       "-append", f"console={CONSOLE} {LINUX_ARGUMENTS} {spec.cmdline}".strip()]
    tree = files.folder / "device-tree"
    argv += ["-kernel", str(files.xen), "-dtb", str(tree)]
    modules = [Module("kernel", KERNEL_ADDRESS, files.kernel.stat().st_size, dom0_arguments(spec)),
               Module("ramdisk", INITRAMFS_ADDRESS, files.initramfs.stat().st_size)]
    for file, module in zip((files.kernel, files.initramfs), modules):
        argv += ["-device", f"loader,file={emulator.quoted(file)},addr={module.address:#x},"
                            "force-raw=on"]
    return ["sh", "-ec", _with_device_tree(machine, tree, additions(_xen_arguments(spec), modules),
                                           argv)]


def _with_device_tree(machine: list[str], tree: pathlib.Path, text: str, argv: list[str]) -> str:
    """Shell script that makes the file TREE, the emulator's own tree of MACHINE with the source
    TEXT added, and gives way to the emulator ARGV."""
    board = tree.with_suffix(".board")
    # Options of one name are one list.
    dump = [EMULATOR, *machine, "-machine", f"dumpdtb={emulator.quoted(board)}"]
    source = shlex.join(["dtc", "-q", "-I", "dtb", "-O", "dts", str(board)])
    compiler = shlex.join(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", str(tree)])
    return (f"{shlex.join(dump)}\n{{ {source}; printf %s {shlex.quote(text)}; }} | {compiler}\n"
            f"exec {shlex.join(argv)}")


def _xen_arguments(spec: Spec) -> str:
    words = ["console=dtuart", f"dtuart={XEN_CONSOLE}", "loglvl=all", "guest_loglvl=all",
             # Large enough for the whole log: no output is dropped, and Xen never waits for it.
             "serial_tx_buffer=1M",
             # The emulator's memory is fresh; clearing it again would only take time.
             "bootscrub=0",
             f"dom0_mem={DOM0_MEMORY}M",
             f"dom0_max_vcpus={spec.dom0_vcpus or spec.smp}"]
    return " ".join(words + spec.xen_cmdline.split())
