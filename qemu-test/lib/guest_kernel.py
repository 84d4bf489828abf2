# SPDX-License-Identifier: GPL-2.0
"""The kernel that the machines boot: one built here, of qemu-test/configs, or one of Debian's own,
unmodified, which is called "debian" or, for a certain one, "debian-7.2.9"."""

import pathlib
import re
from dataclasses import dataclass

import kernel_modules
from xenrust import debian_kernel, debian_module, external_module, kernel, module_file
from xenrust.failure import Failure

# What our own kernels have in them and Debian's has as modules, in an order in which they can be
# loaded: what the toolstack and the suites use.
PLATFORM_MODULES = ("xen-privcmd", "xenfs", "xen-evtchn")
# Loaded by who needs them.
OTHER_MODULES = ("xen-gntdev", "xen-gntalloc", "xen-blkfront", "bochs")


@dataclass(frozen=True)
class GuestKernel:
    """What the guests boot."""
    # The name that messages use.
    title: str
    image: pathlib.Path
    # Files of modules, unpacked.
    modules: list
    # The names of those that every guest loads first.
    platform_modules: tuple
    # In MiB.
    domu_memory: int


def debian_config(kernel):
    """What that kernel of Debian's is called here which a person names KERNEL: "debian" for the
    newest one, the start of a version, or a release."""
    return "debian" if kernel == "debian" else f"debian-{kernel}"


def is_debian(config):
    """Whether CONFIG names one of Debian's kernels."""
    return re.fullmatch(r"debian(-.+)?", config) is not None


def ensure(cache, config):
    """Fetch and build what booting the kernel CONFIG takes; at once when nothing is missing."""
    if is_debian(config):
        debian_module.ensure(cache, _which(config))
    else:
        kernel.ensure(cache, config)


def find(cache, config):
    """The kernel CONFIG as ensure() left it."""
    return _find_debian(cache, config) if is_debian(config) else _find_own(cache, config)


def _find_own(cache, config):
    folder = cache.kernel / config
    image = folder / kernel.IMAGE
    if not image.is_file():
        raise Failure(f"there is no kernel in {folder}; "
                      f"scripts/build-kernel --config {config} builds it")
    return GuestKernel(f"{config} kernel", image, sorted(folder.rglob("*.ko")), (), 128)


def _find_debian(cache, config):
    found = debian_kernel.ensure(cache, _which(config))
    module = cache.debian / found.release / external_module.FILE
    if not module.is_file():
        raise Failure(f"there is no module for Debian's kernel {found.release}; "
                      f"scripts/build-module {found.release} builds it")
    return _of_debian(found, module, cache.debian / found.release / "unpacked")


def find_installed(root, config):
    """The kernel CONFIG of Debian's as it is installed in ROOT, with the driver built there."""
    release = _which(config)
    found = debian_kernel.DebianKernel(release, "", root, root, root)
    built = root / "usr/lib/modules" / release / "updates"
    modules = sorted(built.rglob(f"{external_module.FILE}*"))
    if not modules:
        raise Failure(f"there is no module for Debian's kernel {release} in {built}")
    folder = root / "var/tmp" / release
    return _of_debian(found, _unpacked(modules[:1], folder)[0], folder)


def _of_debian(found, module, folder):
    """The kernel FOUND with the driver MODULE; what it shipped itself is unpacked to FOLDER."""
    shipped = found.modules()
    wanted = []
    for name in PLATFORM_MODULES + OTHER_MODULES:
        files = kernel_modules.with_needs(name, shipped)
        if not files:
            raise Failure(f"Debian's kernel {found.release} has no module {name}")
        wanted += [file for file in files if file not in wanted]
    return GuestKernel(f"Debian's kernel {found.release}", found.vmlinuz(),
                       [module, *_unpacked(wanted, folder)], PLATFORM_MODULES, 256)


def _unpacked(files, folder):
    """The same modules as plain files in FOLDER."""
    folder.mkdir(exist_ok=True)
    unpacked = []
    for file in files:
        plain = folder / f"{module_file.name(file)}.ko"
        if not plain.exists():
            partial = plain.with_suffix(".partial")
            partial.write_bytes(module_file.read(file))
            partial.rename(plain)
        unpacked.append(plain)
    return unpacked


def _which(config):
    return config.partition("-")[2] or "debian"
