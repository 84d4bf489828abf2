# SPDX-License-Identifier: GPL-2.0
"""Arguments of the guests' kernels, and the domU's configuration."""

from .choices import GuestType
from .spec import Spec

# A panic ends the machine; the log takes everything that user space writes to it.
LINUX_ARGUMENTS = "panic=-1 printk.devkmsg=on loglevel=7"

# Arguments for an installed system. systemd then neither updates caches, as it does after packages
# were installed, nor prints each of its steps on the console.
SYSTEMD_ARGUMENTS = "systemd.condition_needs_update=no systemd.show_status=no"

# The toolstack's own limit is 1,023, less than a page of the FIFO ABI's event array.
DOMU_EVENT_CHANNELS = 16384

# QEMU would show the screen of an HVM domU by VNC, and dom0 has no network.
NO_SCREEN = """\
vga = "none"
vnc = 0
"""


def dom0_arguments(spec: Spec) -> str:
    """Arguments of dom0's kernel."""
    return " ".join(["console=hvc0", LINUX_ARGUMENTS, spec.events.kernel_argument,
                     *([SYSTEMD_ARGUMENTS] if spec.system else []), *spec.cmdline.split()])


def domu_configuration(spec: Spec, memory: int) -> str:
    """Configuration of the domU as xl reads it, with MEMORY MiB."""
    # A quotation mark would end the value.
    extra = " ".join(["console=hvc0", LINUX_ARGUMENTS, spec.events.kernel_argument,
                      *spec.domu_cmdline.replace('"', "").split()])
    devices = NO_SCREEN if spec.domu == GuestType.HVM else ""
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
{devices}"""
