# SPDX-License-Identifier: GPL-2.0
"""The suites of gntdev: grants mapped, and dma-bufs made of them."""

from .. import limits
from ..choices import GuestType
from ..engine import needs
from ..engine.boot_job import boot_job
from ..engine.context import Context
from ..engine.job import Job
from ..engine.registry import SuiteList, suite
from ..spec import Spec

# The domU grants 64 MiB and has as much of dom0's mapped.
DOMU_MEMORY = 256
# Xen's table of a domain's mappings has 256 entries in each frame.
SMALL_TABLE = "gnttab_max_maptrack_frames=4"
# All devices of dom0 take bounce buffers.
BOUNCE = "swiotlb=force"


@suite("pv", order=40,
       lists=(SuiteList.DOM0, SuiteList.QUICK, SuiteList.LOCKDEP, SuiteList.KASAN,
              SuiteList.DEBIAN))
def paravirtual(context: Context) -> list[Job]:
    """A PV dom0 maps its own grants, and those of a PV domU, and makes dma-bufs of both."""
    # The last rule of gntdev-domu ends the domU.
    return [gntdev_boot(context, GuestType.PV, 240, "gntdev-self", "dmabuf-self", "dmabuf-domu",
                        "gntdev-fuzz", "gntdev-domu")]


@suite("pvh", order=50, lists=(SuiteList.DOM0, SuiteList.KASAN, SuiteList.DEBIAN))
def auto_translated(context: Context) -> list[Job]:
    """A PVH dom0 maps the grants of a PVH domU, and makes dma-bufs of them."""
    return [gntdev_boot(context, GuestType.PVH, 400, "dmabuf-domu", "gntdev-fuzz", "gntdev-domu")]


@suite("bounce", order=52, lists=(SuiteList.DOM0, SuiteList.LOCKDEP, SuiteList.KASAN))
def bounces_of_paravirtual(context: Context) -> list[Job]:
    """A device that takes bounce buffers imports dma-bufs of a PV domU's grants in a PV dom0."""
    return [gntdev_boot(context, GuestType.PV, 40, "dmabuf-importer", cmdline=BOUNCE)]


@suite("bounce-pvh", order=54, lists=(SuiteList.DOM0,))
def bounces_of_auto_translated(context: Context) -> list[Job]:
    """A device that takes bounce buffers imports dma-bufs of a PVH domU's grants in a PVH dom0."""
    return [gntdev_boot(context, GuestType.PVH, 60, "dmabuf-importer", cmdline=BOUNCE)]


@suite("full", order=55, lists=(SuiteList.DOM0, SuiteList.DEBIAN))
def full_table(context: Context) -> list[Job]:
    """A PV and a PVH dom0 whose table of mappings is full."""
    return [gntdev_boot(context, guests, 40, "gntdev-full", title=title, xen_cmdline=SMALL_TABLE)
            for guests, title in ((GuestType.PV, "PV"), (GuestType.PVH, "PVH"))]


def gntdev_boot(context: Context, guests: GuestType, seconds: float, *programs: str,
                title: str = "", display: bool = False, cmdline: str = "",
                xen_cmdline: str = "") -> Job:
    """The PROGRAMS in a dom0 with a domU that grants, both of one type, for about SECONDS."""
    spec = Spec(dom0=guests, domu=guests, domu_run="granter", domu_mem=DOMU_MEMORY,
                cmdline=cmdline, xen_cmdline=xen_cmdline,
                limits=limits.suite(context.family), display=display,
                add=needs.additions(context, *programs),
                domu_add=needs.additions(context, "granter"))
    return boot_job(context, spec, {name: name for name in programs}, seconds, title=title)
