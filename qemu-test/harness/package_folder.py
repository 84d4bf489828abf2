# SPDX-License-Identifier: GPL-2.0
"""Folder that has the packages of guests at their installed places."""

import os
import pathlib
import subprocess

from xenrust.cache import Cache
from xenrust.processor import Processor

BUSYBOX = "usr/bin/busybox"
# Names that would only be in the way: an image has its own init and no packages.
FOREIGN_APPLETS = {"busybox", "init", "linuxrc", "dpkg", "dpkg-deb", "rpm"}


class PackageFolder:
    """The folder ROOT. PROGRAMS is one whose programs run here: ROOT itself, or another with the
    same packages."""

    def __init__(self, root: pathlib.Path, programs: pathlib.Path) -> None:
        self.root = root
        self._programs = programs

    def read(self, place: str) -> bytes | None:
        """The file at PLACE; None if there is none."""
        found = _resolve(self.root, place)
        return found.read_bytes() if found and found.is_file() else None

    def applets(self) -> set[str]:
        """The names that busybox answers to. It is linked statically, so it runs on any host of its
        processor."""
        listing = subprocess.run([self._programs / BUSYBOX, "--list"], stdout=subprocess.PIPE,
                                 text=True, timeout=10, check=True).stdout
        return set(listing.split()) - FOREIGN_APPLETS


def of(cache: Cache, processor: Processor) -> PackageFolder:
    """The folder in CACHE for guests of PROCESSOR."""
    return PackageFolder(cache.packages_of(processor), cache.build_root)


def _resolve(root: pathlib.Path, place: str, depth: int = 0) -> pathlib.Path | None:
    """The host path of PLACE inside ROOT; links are followed as a process in ROOT would."""
    found = root
    parts = [part for part in pathlib.PurePosixPath(place).parts if part != "/"]
    for index, part in enumerate(parts):
        if part == "..":
            found = found if found == root else found.parent
            continue
        found = found / part
        if found.is_symlink():
            if depth > 40:
                return None
            target = os.readlink(found)
            base = "/" if target.startswith("/") else f"/{found.parent.relative_to(root)}"
            rest = "/".join(parts[index + 1:])
            return _resolve(root, f"{base}/{target}/{rest}", depth + 1)
    return found if found.exists() else None
