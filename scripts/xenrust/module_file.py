# SPDX-License-Identifier: GPL-2.0
"""Files of kernel modules, as a distribution ships them: compressed."""

import lzma
import pathlib
from collections.abc import Iterable


def name(file: pathlib.Path) -> str:
    """Name of the module in FILE."""
    return file.name.partition(".ko")[0]


def read(file: pathlib.Path) -> bytes:
    """Content of the module, decompressed."""
    data = file.read_bytes()
    return lzma.decompress(data) if file.suffix == ".xz" else data


def find(wanted: str, files: Iterable[pathlib.Path]) -> bytes | None:
    """Content of the module called WANTED among FILES; None if there is none."""
    return next((read(file) for file in files if name(file) == wanted), None)
