# SPDX-License-Identifier: GPL-2.0
"""Parts of a boot, fetched and built at the same time as far as they do not need each other."""

import pathlib
from collections.abc import Mapping, Sequence

from . import build_root, debian_kernel, debian_module, guest, kernel, kernel_source
from .build_root import Purpose
from .cache import Cache
from .debian_kernel import DebianKernel
from .graph import Node, run

# Programs by cargo workspace.
Programs = Mapping[pathlib.Path, Sequence[str]]


def with_debian_kernel(cache: Cache, wanted: str, programs: Programs) -> DebianKernel:
    """Kernel WANTED of debian_kernel.ensure(). The module for it and PROGRAMS are built."""
    small_root = Node(lambda: build_root.ensure(cache, Purpose.FETCH))
    root = Node(lambda: build_root.ensure(cache, Purpose.BOOT), small_root)
    fetched = Node(lambda: debian_kernel.ensure(cache, wanted), small_root)
    module = Node(lambda: debian_module.build(cache, fetched.value), root, fetched)
    run([module, Node(lambda: guest.ensure(cache, programs), root)])
    return fetched.value


def with_own_kernel(cache: Cache, config: str, programs: Programs) -> None:
    """Build the kernel CONFIG with the overlay in it, and PROGRAMS."""
    small_root = Node(lambda: build_root.ensure(cache, Purpose.FETCH))
    root = Node(lambda: build_root.ensure(cache, Purpose.ALL), small_root)
    source = Node(lambda: kernel_source.ensure(cache), small_root)
    built = Node(lambda: kernel.ensure(cache, config), root, source)
    run([built, Node(lambda: guest.ensure(cache, programs), root)])
