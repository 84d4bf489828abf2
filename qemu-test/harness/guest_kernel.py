# SPDX-License-Identifier: GPL-2.0
"""The kernel that the machines boot: one built here, of qemu-test/configs, or one of Debian's own,
unmodified, which is called "debian" or, for a certain one, "debian-7.2.9"."""

import os
import pathlib
import re
from dataclasses import dataclass

from xenrust import debian_kernel, debian_module, external_module, kernel, module_file
from xenrust.cache import Cache
from xenrust.failure import Failure
from xenrust.processor import Processor

from . import kernel_modules

# Modules of Debian's kernel that are built into ours, in an order in which they can be loaded: the
# toolstack and the suites use them.
PLATFORM_MODULES = ("xen-privcmd", "xenfs", "xen-evtchn")
# Modules that mount the root of an installed system, in an order in which they can be loaded.
ROOT_MODULES = ("9pnet_virtio", "9p", "overlay")
# Loaded by those that need them.
OTHER_MODULES = ("xen-gntdev", "xen-gntalloc", "xen-blkfront", "bochs")


@dataclass(frozen=True)
class GuestKernel:
    """Kernel and modules that the guests boot."""
    # The name that messages use.
    title: str
    image: pathlib.Path
    # Files of modules, unpacked.
    modules: list[pathlib.Path]
    # The names of those that every guest loads first.
    platform_modules: tuple[str, ...]
    # In MiB.
    domu_memory: int
    # System.map. Debian has it in a package of its own, which is not installed.
    symbols: pathlib.Path | None = None


def debian_config(wanted: str) -> str:
    """Name in this package for the kernel of Debian's that a person names WANTED: "debian" for the
    newest one, the start of a version, or a release."""
    return "debian" if wanted == "debian" else f"debian-{wanted}"


def is_debian(config: str) -> bool:
    """True if CONFIG names one of Debian's kernels."""
    return re.fullmatch(r"debian(-.+)?", config) is not None


def ensure(cache: Cache, config: str, processor: Processor = Processor.X86_64) -> None:
    """Fetch and build the kernel CONFIG for PROCESSOR and the driver for it; at once when nothing
    is missing."""
    if is_debian(config):
        debian_module.ensure(cache, _which(config), processor=processor)
    elif processor is not Processor.X86_64:
        raise Failure(f"the kernel {config} is not built for {processor}; --kernel debian names "
                      "one of Debian's")
    else:
        kernel.ensure(cache, config)


def find(cache: Cache, config: str, processor: Processor = Processor.X86_64) -> GuestKernel:
    """The kernel CONFIG for PROCESSOR as ensure() left it."""
    return (_find_debian(cache, config, processor) if is_debian(config)
            else _find_own(cache, config))


def _find_own(cache: Cache, config: str) -> GuestKernel:
    folder = cache.kernel / config
    image = folder / kernel.IMAGE
    if not image.is_file():
        raise Failure(f"there is no kernel in {folder}; "
                      f"scripts/build-kernel --config {config} builds it")
    return GuestKernel(f"{config} kernel", image, sorted(folder.rglob("*.ko")), (), 128,
                       folder / kernel.SYMBOLS)


def _find_debian(cache: Cache, config: str, processor: Processor) -> GuestKernel:
    found = debian_kernel.ensure(cache, _which(config), processor=processor)
    module = cache.debian / found.release / external_module.FILE
    if not module.is_file():
        raise Failure(f"there is no module for Debian's kernel {found.release}; "
                      f"scripts/build-module --arch {processor} {found.release} builds it")
    return _of_debian(found, module, cache.debian / found.release / "unpacked")


def find_installed(root: pathlib.Path, config: str) -> GuestKernel:
    """The kernel CONFIG of Debian's as it is installed in ROOT, which loads its drivers itself."""
    release = _which(config)
    found = debian_kernel.DebianKernel(release, "", root, root, root)
    modules = _unpacked(_with_needs(found, ROOT_MODULES), root / "var/tmp" / release)
    return GuestKernel(f"Debian's kernel {release}", found.vmlinuz(), modules,
                       tuple(module.stem for module in modules), 256)


def _of_debian(found: debian_kernel.DebianKernel, module: pathlib.Path,
               folder: pathlib.Path) -> GuestKernel:
    """The kernel FOUND with the driver MODULE; its own modules are unpacked to FOLDER."""
    wanted = _with_needs(found, PLATFORM_MODULES + OTHER_MODULES)
    return GuestKernel(f"Debian's kernel {found.release}", found.vmlinuz(),
                       [module, *_unpacked(wanted, folder)], PLATFORM_MODULES, 256)


def _with_needs(found: debian_kernel.DebianKernel, names: tuple[str, ...]) -> list[pathlib.Path]:
    """The files of modules NAMES and of all that they need, in an order in which they can be
    loaded."""
    shipped = found.modules()
    wanted: list[pathlib.Path] = []
    for name in names:
        files = kernel_modules.with_needs(name, shipped)
        if not files:
            raise Failure(f"Debian's kernel {found.release} has no module {name}")
        wanted += [file for file in files if file not in wanted]
    return wanted


def _unpacked(files: list[pathlib.Path], folder: pathlib.Path) -> list[pathlib.Path]:
    """The same modules as plain files in FOLDER."""
    folder.mkdir(exist_ok=True)
    unpacked = []
    for file in files:
        plain = folder / f"{module_file.name(file)}.ko"
        if not plain.exists():
            # Several boots may be at it at the same time.
            partial = plain.with_suffix(f".partial-{os.getpid()}")
            partial.write_bytes(module_file.read(file))
            partial.rename(plain)
        unpacked.append(plain)
    return unpacked


def _which(config: str) -> str:
    return config.partition("-")[2] or "debian"
