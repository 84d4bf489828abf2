# SPDX-License-Identifier: GPL-2.0
"""Packages for guests of another processor than this machine's, unpacked into a folder: Xen, its
toolstack and libraries, and the standard library of Rust for the programs that are built here.

Nothing in the folder is ever run here. Guests of this machine's own processor get what the build
root has.
"""

import json
import pathlib
import shutil
from typing import TypedDict

from . import build_root
from .build_root import Purpose
from .cache import Cache
from .failure import Failure
from .processor import Processor
from .progress import Step

PACKAGES = {
    Processor.ARM64: ("busybox-static", "libxen-dev", "xen-hypervisor-4.20-arm64",
                      "xen-utils-4.20", "xenstore-utils"),
}
# That of the compiler in the build root, and of the same version: Rust has no stable binary
# interface. It is fetched alone, for the programs need none of the packages that it depends on.
STANDARD_LIBRARY = "libstd-rust-dev"

STAMP = "xen-rust-guest-root.json"


class Stamp(TypedDict):
    """Contents of STAMP."""
    suite: str
    packages: list[str]
    standard_library: str


def ensure(cache: Cache, processor: Processor) -> pathlib.Path:
    """Folder with the packages for guests of PROCESSOR, made if need be."""
    build_root.ensure(cache, Purpose.BOOT, processor)
    folder = cache.packages_of(processor)
    if processor.is_native or _has(folder, _wanted(cache, processor)):
        return folder
    with cache.lock(folder.name):
        # Another process may have updated the compilers meanwhile.
        wanted = _wanted(cache, processor)
        if not _has(folder, wanted):
            _make(cache, processor, folder, wanted)
    return folder


def _wanted(cache: Cache, processor: Processor) -> Stamp:
    version = build_root.output(cache, ["dpkg-query", "-W", "-f", "${Version}", STANDARD_LIBRARY],
                                cwd="/")
    if not version:
        raise Failure(f"the build root has no {STANDARD_LIBRARY}; remove {cache.build_root}")
    return {"suite": build_root.SUITE, "packages": list(PACKAGES[processor]),
            "standard_library": version}


def _has(folder: pathlib.Path, wanted: Stamp) -> bool:
    try:
        text = (folder / STAMP).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return bool(text == json.dumps(wanted))


def _make(cache: Cache, processor: Processor, folder: pathlib.Path, wanted: Stamp) -> None:
    cache.require_space(1, f"the packages for {processor} guests")
    title = f"{processor} guest root"
    build_root.bootstrap(cache, folder, title, wanted["packages"], keep_indexes=True,
                         unpack_only=processor)
    build_root.note_new_indexes(folder)
    fetched = cache.root / f"{folder.name}.fetched"
    shutil.rmtree(fetched, ignore_errors=True)
    fetched.mkdir()
    build_root.apt_download(cache, f"{title}: standard library of Rust",
                            [f"{STANDARD_LIBRARY}={wanted['standard_library']}"], fetched,
                            processor)
    step = Step(f"{title}: unpacking", cache.log / f"{folder.name}.log", timeout=600)
    # The stamp is written last of all: a folder without one is an unfinished one.
    build_root.run_logged(
        cache, step, ["sh", "-ec", 'dpkg-deb -x ./*.deb "$1"; printf %s "$3" >"$1/$2"', "sh",
                      folder, STAMP, json.dumps(wanted)],
        failed=f"could not unpack the packages for {processor} guests", cwd=fetched)
    shutil.rmtree(fetched)
