# SPDX-License-Identifier: GPL-2.0
"""The suite of HVM domUs."""

from .. import limits
from ..choices import GuestType
from ..engine import needs
from ..engine.boot_job import boot_job
from ..engine.context import Context
from ..engine.job import Job
from ..engine.registry import SuiteList, suite
from ..spec import Spec
from .clients import AGENT

# A few rules of each subject: the suites of other domUs have all of them.
COMMANDS = {
    "event-storm": "event-storm --ports 300 --seconds 1",
    "gntdev-domu": "gntdev-domu libxengnttab",
    "dmabuf-domu": "dmabuf-domu 'becomes one'",
    # Its last rule ends the domU.
    "client-hvm": "client-hvm",
}
# Events come to each processor of an HVM domain by an interrupt of its own.
VCPUS = 2
DOMU_PROGRAMS = ("agent", "granter", "event-peer", "disk-check")


@suite("hvm", order=95, lists=(SuiteList.DOM0, SuiteList.DEBIAN))
def paravirtual(context: Context) -> list[Job]:
    """Grants, dma-bufs, events, console and disk of an HVM domU in a PV dom0, in short."""
    # Each access to an emulated device wakes a processor of dom0, and then that of the domU again.
    # By a clock of instructions one thread of the emulator runs them all, so none of these steps
    # waits for the host's scheduler.
    spec = Spec(dom0=GuestType.PV, domu=GuestType.HVM, domu_vcpus=VCPUS,
                domu_run=f"granter & {AGENT}", limits=limits.suite(context.family),
                instruction_clock=True,
                add=needs.additions(context, *COMMANDS),
                domu_add=needs.additions(context, *DOMU_PROGRAMS))
    return [boot_job(context, spec, COMMANDS, 90)]
