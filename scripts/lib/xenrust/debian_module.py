# SPDX-License-Identifier: GPL-2.0
"""The driver as a module for Debian's own kernels, built in the build root."""

import lzma
import pathlib

from . import debian_kernel
from .external_module import FILE, ExternalModule
from .kernel_tools import BuildRoot

C_DRIVER = "xen-gntdev"

__all__ = ["FILE", "ensure", "read_module", "shipped_module"]


def ensure(cache, wanted="debian", update=False):
    """Return (kernel, file of the module) for the kernel WANTED of debian_kernel.ensure()."""
    kernel = debian_kernel.ensure(cache, wanted, update)
    folder = cache.debian / kernel.release
    module = ExternalModule(kernel, BuildRoot(cache), folder,
                            cache.log / f"module-{kernel.release}.log")
    with cache.lock(f"module-{kernel.release}"):
        return kernel, module.build(shipped_module(kernel.modules(), C_DRIVER))


def shipped_module(files, name):
    """The content of the module called NAME among FILES, None if there is none."""
    for file in files:
        if file.name.partition(".")[0] == name:
            return read_module(file)
    return None


def read_module(file):
    """The content of a module's file, unpacked."""
    data = pathlib.Path(file).read_bytes()
    return lzma.decompress(data) if file.name.endswith(".xz") else data
