# SPDX-License-Identifier: GPL-2.0
"""Dependencies between kernel modules.

A build folder has no modules.dep, which only an installation makes; each module names what it
needs itself.
"""

import pathlib
import re
from collections.abc import Iterable

from xenrust import module_file

NEEDS = re.compile(rb"\bdepends=([\w,-]*)\0")


def with_needs(name: str, modules: Iterable[pathlib.Path]) -> list[pathlib.Path] | None:
    """The files of module NAME and of all that it needs, in an order in which they can be loaded.
    None if there is no such module among the files MODULES."""
    files = {_common(module_file.name(file)): file for file in modules}
    if _common(name) not in files:
        return None
    order: list[pathlib.Path] = []

    def add(wanted: str) -> None:
        file = files.get(wanted)
        # One that is missing is built into the kernel.
        if file is None or file in order:
            return
        for other in _needs(file):
            add(other)
        order.append(file)

    add(_common(name))
    return order


def _needs(file: pathlib.Path) -> list[str]:
    found = NEEDS.search(module_file.read(file))
    return [_common(name) for name in found[1].decode().split(",") if name] if found else []


def _common(name: str) -> str:
    """The kernel takes - and _ in names of modules for the same."""
    return name.replace("-", "_")
