# SPDX-License-Identifier: GPL-2.0
"""The kernel tree: Debian's linux-source package, fetched by apt, which checks its signature."""

import os
import pathlib
import re
import shutil

from . import build_root
from .build_root import Purpose
from .cache import Cache
from .failure import Failure
from .progress import Step, say

# SERIES 7.2/7.3: those that the overlay is written for; the first one is fetched by default.
SUPPORTED_SERIES = ("7.2", "7.3")


def ensure(cache: Cache) -> pathlib.Path:
    """Kernel tree in the cache, fetched and unpacked if it is not there yet."""
    present = _newest(cache)
    if present:
        return present
    with cache.lock("linux"):
        present = _newest(cache)
        return present or _fetch(cache)


def copy(cache: Cache, tree: pathlib.Path, name: str) -> pathlib.Path:
    """Copy of TREE, a tree of the cache, for the kernel NAME alone. Its files are links to those of
    TREE: whoever changes one must replace it."""
    place = cache.linux / f"{tree.name}-{name}"
    if not place.exists():
        partial = place.with_name(f"{place.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(tree, partial, symlinks=True, copy_function=os.link)
        partial.rename(place)
    return place


def version(tree: str | pathlib.Path) -> str:
    """Version of a kernel tree by its Makefile, as in 7.2.1."""
    makefile = pathlib.Path(tree) / "Makefile"
    try:
        text = makefile.read_text(encoding="utf-8", errors="replace")[:2000]
    except OSError as error:
        raise Failure(f"{tree} is not a kernel tree: {makefile}: {error.strerror}") from error
    found = re.search(r"^VERSION = ?(\d*)\nPATCHLEVEL = ?(\d*)\nSUBLEVEL = ?(\d*)$", text, re.M)
    if not found or not (makefile.parent / "Kbuild").exists():
        raise Failure(f"{tree} is not a kernel tree: its Makefile names no kernel version")
    return ".".join(number or "0" for number in found.groups())


def series(tree: str | pathlib.Path) -> str:
    """Series of a kernel tree, as in 7.2."""
    return version(tree).rpartition(".")[0]


def _newest(cache: Cache) -> pathlib.Path | None:
    """Tree of the preferred series if there is one, else of the next; None if there is none."""
    # SERIES 7.2/7.3: trees of both can be in the cache.
    numbers = [tuple(map(int, folder.name.split("."))) for folder in cache.linux.glob("[0-9]*")
               if re.fullmatch(r"\d+\.\d+\.\d+", folder.name)]
    supported = [number for number in numbers if _is_supported(number[:2])]
    if not supported:
        return None
    first = min(number[:2] for number in supported)
    best = max(number for number in supported if number[:2] == first)
    return cache.linux / ".".join(map(str, best))


def _is_supported(number: tuple[int, ...]) -> bool:
    return ".".join(map(str, number)) in SUPPORTED_SERIES


def _fetch(cache: Cache) -> pathlib.Path:
    build_root.ensure(cache, Purpose.FETCH)
    cache.require_space(5, "the kernel source")
    partial = cache.linux / "fetch.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    build_root.apt_update(cache)
    package = _package(cache)
    build_root.apt_download(cache, f"kernel source: {package}", [package], partial)
    step = Step("kernel source: unpacking", cache.log / "kernel-source.log", timeout=1800)
    build_root.run_logged(
        cache, step,
        ["sh", "-ec", "dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards './usr/src/*.tar.*'; "
         "tar -x --no-same-owner -f usr/src/linux-source-*.tar.*; rm -r usr ./*.deb"],
        failed="could not unpack the kernel source", cwd=partial)
    unpacked = next(partial.glob("linux-source-*"))
    tree = cache.linux / version(unpacked)
    # The new name is given last: a tree with a version for its name is a whole one.
    unpacked.rename(tree)
    partial.rmdir()
    return tree


def _package(cache: Cache) -> str:
    """Package of the wanted series, or of the next one that the archive still has."""
    listed = build_root.output(cache, ["apt-cache", "search", "--names-only",
                                       r"^linux-source-[0-9]+\.[0-9]+$"], cwd="/") or ""
    available = {tuple(map(int, name.split("."))): f"linux-source-{name}"
                 for name in re.findall(r"^linux-source-(\d+\.\d+)", listed, re.M)}
    # SERIES 7.2/7.3: the archive drops the first one before the second.
    wanted = tuple(map(int, SUPPORTED_SERIES[0].split(".")))
    usable = sorted(filter(_is_supported, available))
    if not usable:
        raise Failure("the archive has no linux-source package of series "
                      f"{' or '.join(SUPPORTED_SERIES)}; it has "
                      f"{', '.join(available.values()) or 'none at all'}")
    if usable[0] != wanted:
        say(f"kernel source: series {SUPPORTED_SERIES[0]} has gone from the archive, "
            f"trying {available[usable[0]]}")
    return available[usable[0]]
