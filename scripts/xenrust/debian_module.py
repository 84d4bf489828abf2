# SPDX-License-Identifier: GPL-2.0
"""The driver as a module for Debian's own kernels, built in the build root."""

import pathlib

from . import debian_kernel, module_file
from .cache import Cache
from .debian_kernel import DebianKernel
from .external_module import C_DRIVER, ExternalModule
from .kernel_tools import BuildRoot


def ensure(cache: Cache, wanted: str = "debian",
           update: bool = False) -> tuple[DebianKernel, pathlib.Path]:
    """Return (kernel, file of the module) for the kernel WANTED of debian_kernel.ensure()."""
    kernel = debian_kernel.ensure(cache, wanted, update)
    module = ExternalModule(kernel, BuildRoot(cache), cache.debian / kernel.release,
                            cache.log / f"module-{kernel.release}.log")
    with cache.lock(f"module-{kernel.release}"):
        return kernel, module.build(module_file.find(C_DRIVER, kernel.modules()))
