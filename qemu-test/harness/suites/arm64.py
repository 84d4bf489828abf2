# SPDX-License-Identifier: GPL-2.0
"""The suites of arm64 machines only, whose domains are auto-translated and may map their own
grants."""

import dataclasses

from xenrust.processor import Processor

from .. import limits
from ..choices import Driver, GuestType
from ..engine import needs
from ..engine.boot_job import boot_job
from ..engine.context import Context
from ..engine.job import Job, SkippedJob
from ..engine.registry import SuiteList, suite
from ..spec import Spec
from .gntdev import gntdev_boot

OWN_GRANTS = ("gntdev-self", "dmabuf-self")
# All rules of the device, and a few of each other subject; the suites of the list arm64 have all.
SHORT = {
    "gntdev-self": "gntdev-self",
    "dmabuf-self": "dmabuf-self leave",
    "dmabuf-domu": "dmabuf-domu libxengnttab",
    "gntdev-domu": "gntdev-domu libxengnttab",
}
# Without a contiguous memory area, frames for DMA come from the page allocator, which checks them
# when it gets them back.
NO_AREA = "cma=0"


@suite("arm64", order=145, lists=(SuiteList.DOM0,))
def short(context: Context) -> list[Job]:
    """Debian's own arm64 kernel as dom0 with a domU, in short."""
    if context.gntdev == Driver.C:
        return [SkippedJob("Debian's arm64 kernel", "the C driver has no dma-bufs there")]
    # The addresses to watch are those of another kernel.
    context = dataclasses.replace(context, config="debian", processor=Processor.ARM64,
                                  watched=None)
    spec = Spec(dom0=GuestType.PVH, domu=GuestType.PVH, domu_run="granter", cmdline=NO_AREA,
                limits=limits.suite(context.family), add=needs.additions(context, *SHORT),
                domu_add=needs.additions(context, "granter"))
    return [boot_job(context, spec, SHORT, 120)]


@suite("self", order=40, lists=(SuiteList.ARM64,))
def own_grants(context: Context) -> list[Job]:
    """dom0 maps its own grants, and makes dma-bufs of them."""
    spec = Spec(dom0=GuestType.PVH, limits=limits.suite(context.family),
                add=needs.additions(context, *OWN_GRANTS))
    return [boot_job(context, spec, {name: name for name in OWN_GRANTS}, 240)]


@suite("domu", order=50, lists=(SuiteList.ARM64,))
def grants_of_domu(context: Context) -> list[Job]:
    """dom0 maps the grants of a domU, and makes dma-bufs of them."""
    # The fuzzer's model does not fit yet: it expects copies to succeed that are EFAULT here.
    return [gntdev_boot(context, GuestType.PVH, 400, "dmabuf-domu", "gntdev-domu")]
