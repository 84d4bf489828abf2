# SPDX-License-Identifier: GPL-2.0
"""The suites of failures that the kernel injects."""

from .. import limits
from ..choices import GuestType
from ..engine import boot_job, needs
from ..engine.context import Context
from ..engine.job import Job
from ..engine.registry import SuiteList, suite
from ..spec import Spec

PROGRAMS = ("event-faults", "gntdev-faults", "gntdev-losses")
# The toolstack would keep the device open.
ALONE = "gntdev-load-faults"
# The second processor comes up when the program says so. A PV kernel would forget it.
NEW_PROCESSOR = "event-faults new-processor"
ONE_PROCESSOR = "maxcpus=1"


@suite("faults", order=45, lists=(SuiteList.FAULT,))
def paravirtual(context: Context) -> list[Job]:
    """Each call of the device fails at each point where it can, in a PV dom0 that maps the grants
    of a PV domU; the event array cannot grow, and the module cannot be loaded."""
    return [_faults(context, GuestType.PV, 200), _loading(context)]


@suite("faults-pvh", order=56, lists=(SuiteList.FAULT,))
def auto_translated(context: Context) -> list[Job]:
    """The same in a PVH dom0 that maps the grants of a PVH domU; a processor cannot come up."""
    return [_faults(context, GuestType.PVH, 300, NEW_PROCESSOR, ONE_PROCESSOR)]


def _faults(context: Context, guests: GuestType, seconds: float,
            events: str = "event-faults", cmdline: str = "") -> Job:
    """The programs in a dom0 with a domU that grants, both of one type, for about SECONDS. EVENTS
    is the command for the event channels."""
    spec = Spec(dom0=guests, domu=guests, domu_run="granter", cmdline=cmdline,
                limits=limits.suite(context.family),
                add=needs.additions(context, *PROGRAMS),
                domu_add=needs.additions(context, "granter"))
    commands = {"event-faults": events, "gntdev-faults": "gntdev-faults"}
    # The rules of this program count what they lose.
    losses = {"gntdev-losses": "gntdev-losses"}
    return boot_job.boot_job(context, spec, commands, seconds, unaccounted=losses)


def _loading(context: Context) -> Job:
    """The module, in a dom0 that nothing else runs in."""
    spec = Spec(toolstack=False, limits=limits.suite(context.family),
                add=needs.additions(context, ALONE))
    return boot_job.boot_job(context, spec, {ALONE: ALONE}, 20, title="no toolstack")
