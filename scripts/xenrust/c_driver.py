# SPDX-License-Identifier: GPL-2.0
"""Build of Linux's own driver without the statement that keeps it from exporting dma-bufs on x86.

The driver asks Xen for a device mapping beside the kernel's, which Xen refuses to auto-translated
domains. Without that, its exports can be compared with those of the driver in Rust.
"""

import pathlib
import re

from . import kernel, kernel_source
from .cache import Cache
from .failure import Failure

MODULE = "xen-gntdev"
EXPORTS = "gntdev-dmabuf.c"
# The one statement that asks for it.
DEVICE_MAP = re.compile(r"^[^\n]*\|=\s*GNTMAP_device_map;\n", re.M)


def ensure(cache: Cache, config: str = "dom0") -> pathlib.Path:
    """File of the changed module for the kernel CONFIG."""
    kernel.ensure(cache, config)
    tree = kernel_source.ensure(cache)
    folder = cache.kernel / f"{config}-c-exports"
    build = kernel.Build(cache, tree, config, config)
    build.title = "C driver that exports"
    build.log = cache.log / "c-driver.log"
    with cache.lock(f"kernel-{config}"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in changed_files(tree / "drivers" / "xen").items():
            _write(folder / name, text)
        build.log.unlink(missing_ok=True)
        build.make(["modules"], variables=[f"M={folder}"],
                   failed="Linux's driver does not build outside of its tree")
    return folder / f"{MODULE}.ko"


def changed_files(source: pathlib.Path) -> dict[str, str]:
    """Files of the changed module, by name, from the folder SOURCE of a kernel tree."""
    paths = sorted((*source.glob("gntdev*.c"), *source.glob("gntdev*.h")))
    files = {path.name: path.read_text(encoding="utf-8") for path in paths}
    if EXPORTS not in files:
        raise Failure(f"{source} has no {EXPORTS}")
    files[EXPORTS] = without_device_map(files[EXPORTS])
    objects = " ".join(f"{path.stem}.o" for path in paths if path.suffix == ".c")
    files["Kbuild"] = f"obj-m := {MODULE}.o\n{MODULE}-y := {objects}\n"
    return files


def without_device_map(text: str) -> str:
    """Text of a C file without the statement that asks for device mappings."""
    changed, places = DEVICE_MAP.subn("", text)
    if places != 1:
        raise Failure(f"{EXPORTS} sets GNTMAP_device_map in {places} places, not in one; look at "
                      "what the kernel's driver does now")
    return changed


def _write(path: pathlib.Path, text: str) -> None:
    """Write a file unless it is as wanted: make goes by the time of the last change."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
