# SPDX-License-Identifier: GPL-2.0
"""Files of kernel modules, as a distribution ships them: packed, and many."""

import lzma
import pathlib
from collections.abc import Iterable


def name(file: pathlib.Path) -> str:
    """The name of the module in FILE."""
    return file.name.partition(".ko")[0]


def read(file: pathlib.Path) -> bytes:
    """The module itself, unpacked."""
    data = file.read_bytes()
    return lzma.decompress(data) if file.suffix == ".xz" else data


def find(wanted: str, files: Iterable[pathlib.Path]) -> bytes | None:
    """The content of the module called WANTED among FILES; None if there is none."""
    return next((read(file) for file in files if name(file) == wanted), None)
