# SPDX-License-Identifier: GPL-2.0
"""The suites that run on Debian's own kernels only."""

import dataclasses

from .. import limits
from ..choices import Driver, GuestType
from ..engine import needs
from ..engine.boot_job import boot_job
from ..engine.context import Context
from ..engine.job import Job, SkippedJob
from ..engine.registry import SuiteList, suite
from ..spec import Spec


@suite("c-driver", order=10, lists=(SuiteList.DEBIAN,))
def c_driver(context: Context) -> list[Job]:
    """Linux's C driver in Debian's own kernel refuses dma-bufs; the Rust driver provides them."""
    if context.gntdev == Driver.C:
        return [SkippedJob("the C driver of Debian's kernel", "its faults are what is shown")]
    return [_c_driver(context, "")]


@suite("debian", order=140, lists=(SuiteList.DOM0,))
def debian(context: Context) -> list[Job]:
    """Debian's own kernel as a PV dom0 without and as a PVH dom0 with a domU, in short."""
    if context.gntdev == Driver.C:
        return [SkippedJob("Debian's kernel", "the C driver has no dma-bufs there")]
    # The addresses to watch are those of another kernel.
    context = dataclasses.replace(context, config="debian", watched=None)
    # A user of that kernel meets the distribution's library first.
    commands = {name: f"{name} libxengnttab" for name in ("dmabuf-domu", "gntdev-domu")}
    spec = Spec(dom0=GuestType.PVH, domu=GuestType.PVH, domu_run="granter",
                limits=limits.suite(context.family), add=needs.additions(context, *commands),
                domu_add=needs.additions(context, "granter"))
    return [_c_driver(context, "PV dom0"), boot_job(context, spec, commands, 180, title="PVH dom0")]


def _c_driver(context: Context, title: str) -> Job:
    spec = Spec(toolstack=False, limits=limits.suite(context.family),
                add=needs.additions(context, "dmabuf-c-driver", "dmabuf-self"))
    return boot_job(context, spec, {"dmabuf-c-driver": "dmabuf-c-driver",
                                    "dmabuf-self": "dmabuf-self libxengnttab"}, 40, title=title)
