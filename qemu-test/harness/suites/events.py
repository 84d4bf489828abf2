# SPDX-License-Identifier: GPL-2.0
"""The suites of event channels."""

from collections.abc import Mapping

from .. import limits
from ..choices import EventOperations, GuestType
from ..engine import needs
from ..engine.boot_job import BootJob, boot_job
from ..engine.context import Context
from ..engine.job import Job
from ..engine.registry import SuiteList, suite
from ..spec import Spec
from .clients import AGENT, CONSOLE_SETUP

# Each program in its forms. The long ones:
LONG_STORM = "event-storm --ports 6000 --seconds 60"
# Processors go and come back this often in all.
ALL_CYCLES = "event-channels --cycles 200"
# Three pages of the event array.
ALL_SAVED = "event-saved --ports 3000"
# The domU sends an event every 2 ms, also when the machine has been woken up.
ALL_SUSPENDED = "event-suspended --ports 500"
SHORT_STORM = "event-storm --ports 1500 --seconds 9"
# Four processors in turn on two of this machine's take their time.
CROWDED_STORM = "event-storm --ports 600 --seconds 6"
# The 2-level ABI has 4,096 ports.
TWO_LEVEL_STORM = "event-storm --ports 3000 --seconds 9"
# Under a PVH dom0 the machine may die in any minute, and then a test begins anew: each is short.
FEW_CYCLES = "event-channels --cycles 32"
# The same work as the long ones, in tests that are short.
PARTED_STORM = f"{LONG_STORM} --parts 6"
PARTED_CYCLES = f"{ALL_CYCLES} --parts 8"
# A kernel that checks its locks or its memory takes its time.
CHECKED_STORM = "event-storm --ports 300 --seconds 6"
CHECKED_CYCLES = "event-channels --cycles 8"
# A link in the event page of a PVH domU is overwritten.
WILD_LINK = "event-astray"
# Three processors of each domain have gone at a time.
DRAINED = "event-channels drained"
# The toolstack lets a domain have 1,023 ports, and the kernel of one takes some.
HOSTILE = "event-hostile --ports 960 --cycles 6"

PROGRAMS = ("event-storm", "event-channels", "event-saved", "event-suspended", "event-astray",
            "event-cpus", "event-hostile")
DOMU_PROGRAMS = ("agent", "event-peer", "event-cpus")
# Interrupts of thousands of ports take memory, and so do those of a domain that was restored.
DOMU_MEMORY = 256
# Without this a domU's programs may make no hypercalls of their own, such as to set priorities.
DOMU_CMDLINE = "xen_privcmd.unrestricted=1"
# Xen's list of all ports is long.
XEN_CMDLINE = "conring_size=1M"


@suite("events", order=70, lists=(SuiteList.DOM0,))
def paravirtual(context: Context) -> list[Job]:
    """6,000 event channels between a PV dom0 and a PV domU, of 1, 2 and 4 vCPUs, and the 2-level
    ABI; processors go and come back, a domU is saved and restored, the machine is suspended to RAM;
    the same with a PVH domU, but for the last two. Another domU misuses its event channels."""
    return [
        *_all_events(context, GuestType.PV, 300, {
            "event-storm": LONG_STORM, "event-channels": ALL_CYCLES, "event-saved": ALL_SAVED,
            "event-suspended": ALL_SUSPENDED}, {"event-hostile": HOSTILE}),
        _events(context, GuestType.PV, 2, 60, {"event-storm": TWO_LEVEL_STORM}, "2-level ABI",
                events=EventOperations.TWO_LEVEL),
        _events(context, GuestType.PV, 2, 300, {
            "event-storm": PARTED_STORM, "event-channels": PARTED_CYCLES,
            "event-astray": WILD_LINK}, "PVH domU",
                domu=GuestType.PVH)]


@suite("events-pvh", order=80, lists=(SuiteList.DOM0,))
def auto_translated(context: Context) -> list[Job]:
    """1,500 event channels between a PVH dom0 and a PVH domU, of 1, 2 and 4 vCPUs, and processors
    that go and come back."""
    return [
        *_all_events(context, GuestType.PVH, 200, {
            "event-storm": SHORT_STORM, "event-channels": FEW_CYCLES,
            "event-astray": WILD_LINK}),
        # To save a PVH domU takes minutes: its addresses are looked through up to 4 GiB. On one
        # thread the emulator mostly lives for it.
        _events(context, GuestType.PVH, 2, 300, {"event-saved": ALL_SAVED}, "domU saved",
                instruction_clock=True)]


@suite("events-pvh", order=80, lists=(SuiteList.LONG,))
def long_auto_translated(context: Context) -> list[Job]:
    """The suite events between a PVH dom0 and a PVH domU, with as many event channels; the emulator
    often dies."""
    return [*_all_events(context, GuestType.PVH, 900, {
        "event-storm": PARTED_STORM, "event-channels": PARTED_CYCLES})]


@suite("events", order=70, lists=(SuiteList.LOCKDEP, SuiteList.KASAN))
def with_checks(context: Context) -> list[Job]:
    """300 event channels between a PV dom0 and a PV domU, of 2 vCPUs, and processors that go and
    come back."""
    return [_events(context, GuestType.PV, 2, 200, {
        "event-storm": CHECKED_STORM, "event-channels": CHECKED_CYCLES}, "")]


def _all_events(context: Context, guests: GuestType, seconds: float,
                commands: Mapping[str, str],
                crowded: Mapping[str, str] | None = None) -> list[BootJob]:
    """The COMMANDS with 2 vCPUs, for about SECONDS, and short storms with less and with more; also
    the commands CROWDED with more."""
    return [_events(context, guests, 2, seconds, commands, "2 vCPUs"),
            _events(context, guests, 1, 60, {"event-storm": SHORT_STORM}, "1 vCPU"),
            _events(context, guests, 4, 120, {
                "event-storm": CROWDED_STORM, "event-channels": DRAINED, **(crowded or {})},
                    "4 vCPUs")]


def _events(context: Context, dom0: GuestType, vcpus: int, seconds: float,
            commands: Mapping[str, str], title: str, domu: GuestType | None = None,
            events: EventOperations | None = None, instruction_clock: bool = False) -> BootJob:
    """A boot of the COMMANDS. The machine has a second processor also where the guests have one. A
    PV dom0 has no more processors than the machine's tables tell of."""
    spec = Spec(
        dom0=dom0, domu=domu or dom0, smp=max(2, vcpus), dom0_vcpus=vcpus, domu_vcpus=vcpus,
        domu_mem=DOMU_MEMORY, domu_run=AGENT, domu_cmdline=DOMU_CMDLINE, xen_cmdline=XEN_CMDLINE,
        limits=limits.suite(context.family), instruction_clock=instruction_clock,
        add=needs.additions(context, *PROGRAMS),
        domu_add=needs.additions(context, *DOMU_PROGRAMS))
    return boot_job(context, spec, commands, seconds, CONSOLE_SETUP, title, events)
