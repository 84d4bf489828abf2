# SPDX-License-Identifier: GPL-2.0
"""The driver as a module for Debian's own kernels, built in the build root."""

import pathlib

from . import build_root, debian_kernel, module_file
from .build_root import Purpose
from .cache import Cache
from .debian_kernel import DebianKernel
from .external_module import C_DRIVER, ExternalModule
from .kernel_tools import BuildRoot
from .processor import Processor


def ensure(cache: Cache, wanted: str = "debian", update: bool = False,
           processor: Processor = Processor.X86_64) -> tuple[DebianKernel, pathlib.Path]:
    """Kernel WANTED of debian_kernel.ensure(), and the file of the module for it."""
    kernel = debian_kernel.ensure(cache, wanted, update, processor)
    return kernel, build(cache, kernel)


def build(cache: Cache, kernel: DebianKernel) -> pathlib.Path:
    """File of the module for KERNEL, which is brought up to date."""
    build_root.ensure(cache, Purpose.BOOT, kernel.processor)
    module = ExternalModule(kernel, BuildRoot(cache), cache.debian / kernel.release,
                            cache.log / f"module-{kernel.release}.log")
    with cache.lock(f"module-{kernel.release}"):
        return module.build(module_file.find(C_DRIVER, kernel.modules()))
