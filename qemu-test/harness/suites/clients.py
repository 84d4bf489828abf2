# SPDX-License-Identifier: GPL-2.0
"""The suites of gntdev's usual clients: the toolstack, QEMU and libxenvchan."""

from .. import guest_image, limits
from ..choices import GuestType
from ..engine import needs
from ..engine.boot_job import boot_job
from ..engine.context import Context
from ..engine.job import Job
from ..engine.registry import SuiteList, suite
from ..spec import Spec
from .gntdev import SMALL_TABLE

# Clients of the device, and the command that tries each. The first ones are the shortest.
COMMANDS = {
    "client-tools": "client-tools",
    "module-unload": "domu-run module-unload",
    "client-vchan": "client-vchan",
    "client-own": "client-own",
    "client-saved": "client-saved",
    "client-daemons": "client-daemons",
    "client-death": "client-death",
    "client-disk": "client-disk",
}
# The kernel of a PVH dom0 suspends the machine without Xen, which then does not resume.
PARAVIRTUAL_COMMANDS = {**COMMANDS, "client-suspended": "client-suspended"}
PROGRAMS = ("client-tools", "domu-run", "client-vchan", "vchan-end", "client-own",
            "client-saved", "client-daemons", "client-death", "client-disk", "client-full",
            "client-suspended")
# All domains of these suites start from one image. A shell answers on its console.
AGENT = "sh </dev/hvc0 >/dev/hvc0 2>&1 & agent"
DOMU_PROGRAMS = ("agent", "granter", "module-unload", "vchan-end", "disk-check")
# The console of the domains that the suites make goes the way of the first domU's.
CONSOLE_SETUP = "ln -s guest-domU.log /var/log/xen/console/guest-client.log"
WITHOUT_COPY = "libwithout_grant_copy.so"


@suite("clients", order=90, lists=(SuiteList.DOM0, SuiteList.DEBIAN))
def paravirtual(context: Context) -> list[Job]:
    """The toolstack, QEMU's disks, libxenvchan, dying domains and a suspension to RAM in a PV dom0,
    with PV and PVH domUs."""
    return [_clients(context, GuestType.PV, 300, PARAVIRTUAL_COMMANDS)]


@suite("clients-pvh", order=100, lists=(SuiteList.DOM0, SuiteList.DEBIAN))
def auto_translated(context: Context) -> list[Job]:
    """The toolstack, QEMU's disks, libxenvchan and dying domains in a PVH dom0, with PV and PVH
    domUs."""
    return [_clients(context, GuestType.PVH, 600)]


@suite("full-disk", order=105, lists=(SuiteList.DOM0, SuiteList.DEBIAN))
def full_table(context: Context) -> list[Job]:
    """A domU's disk and console, from a PV dom0 whose table of mappings is full."""
    return [_clients(context, GuestType.PV, 40, {"client-full": "client-full"}, SMALL_TABLE)]


def _clients(context: Context, dom0: GuestType, seconds: float,
             commands: dict[str, str] = COMMANDS, xen_cmdline: str = "") -> Job:
    library = needs.program_folder(context) / WITHOUT_COPY
    # By a clock of instructions the emulator has one thread, on which domains seldom die of it.
    spec = Spec(
        dom0=dom0, domu=GuestType.PV, domu_run=AGENT, limits=limits.suite(context.family),
        makes_domains=True, instruction_clock=dom0 == GuestType.PVH, xen_cmdline=xen_cmdline,
        add=(*needs.additions(context, *PROGRAMS),
             *((str(context.cache.build_root / path), f"/{path}") for path in guest_image.QEMU),
             (str(library), f"/usr/local/lib/{WITHOUT_COPY}")),
        domu_add=needs.additions(context, *DOMU_PROGRAMS))
    return boot_job(context, spec, commands, seconds, CONSOLE_SETUP)
