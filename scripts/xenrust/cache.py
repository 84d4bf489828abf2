# SPDX-License-Identifier: GPL-2.0
"""The cache folder: everything that is fetched or built, outside the checkout."""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import IO

from . import stopping
from .failure import Failure
from .processor import Processor
from .progress import say

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# A waiting thread must also see the wish to stop, so it does not sleep in the kernel.
SECONDS_BETWEEN_TRIALS = 0.2


class Cache:
    """Places of the cache. Making an instance creates no folder."""

    def __init__(self) -> None:
        given = os.environ.get("CACHE")
        if given:
            root = pathlib.Path(given).absolute()
        else:
            base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
            root = pathlib.Path(base).absolute() / "xen-rust"
        if root == REPOSITORY or REPOSITORY in root.parents:
            raise Failure(f"CACHE={root} is inside the checkout; name a folder outside it")
        _require_plain(root, "the cache", "CACHE= names another folder")
        _require_plain(REPOSITORY, "the checkout", "move it")
        self.root = root
        self.build_root = root / "build-root"
        self.log = root / "log"
        self.linux = root / "linux"
        self.kernel = root / "kernel"
        self.debian = root / "debian"
        self.ccache = root / "ccache"
        self.cargo = root / "cargo"
        self.target = root / "target"

    def make_folders(self) -> None:
        """Create the folders that every step may write to."""
        for folder in (self.root, self.log, self.linux, self.kernel, self.debian,
                       self.ccache, self.cargo, self.target):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Failure(f"cannot create {folder}: {error.strerror}; "
                              "CACHE= names another folder") from error

    def packages_of(self, processor: Processor) -> pathlib.Path:
        """Folder that has the programs and the libraries of guests of PROCESSOR at their installed
        places. Those of another processor than this machine's are of no use in the build root."""
        return (self.build_root if processor.is_native
                else self.root / f"guest-root-{processor}")

    def require_space(self, gigabytes: float, purpose: str) -> None:
        """Stop before a step that would fill the disk half-way."""
        free = shutil.disk_usage(self.root).free / 1e9
        if free < gigabytes:
            raise Failure(f"{purpose} needs about {gigabytes} GB, {self.root} has {free:.1f} GB "
                          "free; make room or set CACHE= to a folder on another disk")

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Let one thread of one process at a time do the step NAME; the others wait and
        say so."""
        self.make_folders()
        path = self.root / f"{name}.lock"
        # The lock belongs to this opening of the file, so it holds between threads as well.
        with open(path, "w", encoding="utf-8") as handle:
            if not _try_lock(handle):
                say(f"{name}: another step or run is at it, waiting for its end (lock {path})")
                while not _try_lock(handle):
                    stopping.wait(SECONDS_BETWEEN_TRIALS)
            yield


def _try_lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _require_plain(path: pathlib.Path, place: str, remedy: str) -> None:
    """Stop before anything is fetched or built where the kernel's Makefile would refuse to work."""
    if re.search(r"[\s:]", str(path)):
        raise Failure(f"the path of {place}, '{path}', has white space or a colon in it, which the "
                      f"kernel's build does not take; {remedy}")
