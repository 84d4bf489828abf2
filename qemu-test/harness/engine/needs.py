# SPDX-License-Identifier: GPL-2.0
"""The build steps that jobs wait for."""

import pathlib

from xenrust import guest, guest_root, kernel_source
from xenrust.cache import Cache
from xenrust.processor import Processor

from .. import guest_kernel
from ..spec import Addition
from .context import Context
from .job import Need


def kernel(context: Context) -> Need:
    """The kernel of CONTEXT, and the driver as a module for it."""
    return Need(f"kernel {context.config}{_for(context)}",
                lambda: guest_kernel.ensure(context.cache, context.config, context.processor),
                after=_packages(context))


def source(context: Context) -> Need:
    """The kernel's source, which has tools that read its results."""
    return Need("kernel source", lambda: kernel_source.ensure(context.cache))


def programs(context: Context) -> Need:
    """The programs that run in guests."""
    return Need(f"guest programs{_for(context)}",
                lambda: guest.ensure(context.cache, processor=context.processor),
                after=_packages(context))


def _packages(context: Context) -> tuple[Need, ...]:
    """The packages for guests of another processor. The build root has this machine's."""
    if context.processor.is_native:
        return ()
    return (Need(f"guest packages{_for(context)}",
                 lambda: guest_root.ensure(context.cache, context.processor)),)


def _for(context: Context) -> str:
    return "" if context.processor is Processor.X86_64 else f" for {context.processor}"


def program_tests(context: Context) -> Need:
    """The unit tests of the programs, built. Cargo has one build at a time in a folder."""
    return Need("tests of the guest programs", lambda: _build_tests(context.cache),
                after=(programs(context),))


def _build_tests(cache: Cache) -> None:
    with cache.lock("guest"):
        guest.cargo(cache, "tests of the guest programs", ["test", "--release", "--no-run"],
                    failed="the unit tests of the guest programs do not build")


def program_folder(context: Context) -> pathlib.Path:
    """The folder of the programs that run in guests, which need not be there yet."""
    return guest.folder(context.cache, context.processor)


def additions(context: Context, *names: str) -> tuple[Addition, ...]:
    """The programs NAMES, as files to add to a guest."""
    return tuple((str(program_folder(context) / name), None) for name in names)
