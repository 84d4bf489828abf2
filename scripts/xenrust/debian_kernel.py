# SPDX-License-Identifier: GPL-2.0
"""Kernels that Debian has built: the list of them, and the parts of their packages that building a
module and booting take.

apt fetches the packages and checks their signatures; nothing is installed. The cache has a folder
for each kernel, named by the kernel's release:

    headers/   .config, Module.symvers and vmlinux (for BTF), as the kernel was built with
    source/    the files of the source of the same version that a module's build reads
    image/     the kernel and its modules, unpacked
"""

import json
import pathlib
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

from . import build_root, guest_root
from .build_root import Purpose
from .cache import Cache
from .failure import Failure
from .kernel_source import SUPPORTED_SERIES
from .processor import Processor
from .progress import Step, say

# As in 7.2.12+deb13-amd64. Other flavours are taken only if the whole name is given. Another build
# of the same source has a number of its own, as in +deb13.1.
USUAL_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:[-~]rc(\d+))?"
                           r"(?:\+deb\d+(?:\.(\d+))?)?-(?:amd64|arm64)")
INFORMATION = "package.json"

# The packages that the kernel itself comes in: all in one, or the binary and the modules apart.
IMAGE_PACKAGES = ("linux-image-{}", "linux-binary-{}", "linux-modules-{}")
UNSIGNED_PACKAGES = ("linux-binary-unsigned-{}", "linux-modules-{}")

# Most of the source is drivers and other architectures, which only the kernel's own build reads.
# Files that Kconfig reads stay, and headers but for those of graphics cards, which are half of all.
UNREAD_SOURCE = (
    *(f"Documentation/*.{suffix}" for suffix in ("rst", "txt", "yaml", "svg")),
    *(f"{folder}/*.{suffix}"
      for folder in ("drivers", "fs", "net", "sound", "arch/[!ax]*", "arch/al*", "arch/arc",
                     "arch/arm", "arch/xtensa")
      for suffix in ("c", "S", "rs", "dts", "dtsi")),
    "arch/arm64/boot/dts/*", "drivers/gpu/drm/*.h", "tools/testing/*", "tools/perf/*",
)


class Information(TypedDict):
    """Contents of INFORMATION."""
    version: str
    signed: bool
    packages: list[str]


@dataclass(frozen=True)
class DebianKernel:
    """A kernel of Debian's, and the folders with its parts."""
    release: str
    # The version of its packages.
    version: str
    headers: pathlib.Path
    source: pathlib.Path
    # The folder that has the kernel and its modules at their installed places.
    image: pathlib.Path
    # True if it was in the cache already, so that the archive may have a newer one.
    is_cached: bool = False

    @property
    def processor(self) -> Processor:
        """The processor that it is built for."""
        return processor_of(self.release)

    def config(self) -> str:
        """The text of its .config."""
        return (self.headers / ".config").read_text(encoding="utf-8")

    def symvers(self) -> str:
        """The text of its Module.symvers."""
        return (self.headers / "Module.symvers").read_text(encoding="utf-8")

    def vmlinuz(self) -> pathlib.Path:
        """The file of the kernel itself."""
        folder = f"usr/lib/modules/{self.release}"
        for place in (f"{folder}/vmlinuz", f"{folder}/vmlinuz.unsigned",
                      f"boot/vmlinuz-{self.release}"):
            if (self.image / place).is_file():
                return self.image / place
        raise Failure(f"there is no vmlinuz in {self.image}; remove {self.image.parent} to have "
                      "the kernel fetched again")

    def modules(self) -> list[pathlib.Path]:
        """The files of its modules, as shipped."""
        for place in (f"usr/lib/modules/{self.release}", f"lib/modules/{self.release}"):
            files = sorted((self.image / place / "kernel").rglob("*.ko*"))
            if files:
                return files
        raise Failure(f"there are no modules in {self.image}; remove {self.image.parent} to have "
                      "the kernel fetched again")


def ensure(cache: Cache, wanted: str = "debian", update: bool = False,
           processor: Processor = Processor.X86_64) -> DebianKernel:
    """Kernel WANTED for PROCESSOR: "debian" for the newest of a supported series, the start of a
    version, or a release. A kernel of the cache is preferred; with UPDATE the archive is asked.

    Debian publishes a kernel before it is signed. A kernel that is not signed yet is for tests and
    only taken if its release is given.
    """
    build_root.ensure(cache, Purpose.FETCH)
    with cache.lock("debian-kernel"):
        release = None if update else choose(wanted, _present(cache, wanted, processor))
        if release:
            return _read(cache, release, is_cached=True)
        if update:
            # Newer kernels are built with newer compilers.
            build_root.upgrade_compilers(cache)
        if not processor.is_native:
            guest_root.ensure(cache, processor)
        build_root.apt_update(cache, processor)
        listed = build_root.apt_cache(cache, ["pkgnames", "linux-"], processor)
        names = (listed or "").split()
        with_headers = releases(names, "linux-headers-")
        release = choose(wanted, [name for name in with_headers
                                  if f"linux-image-{name}" in names or name == wanted])
        if not release:
            raise Failure(_offers(wanted, with_headers, names))
        if series(release) not in SUPPORTED_SERIES:
            raise Failure(f"the kernel {release} is of series {series(release)}; this driver "
                          f"supports {' and '.join(SUPPORTED_SERIES)}")
        if _is_wanting(cache, release, names):
            _fetch(cache, release, names)
        return _read(cache, release)


def choose(wanted: str, available: Sequence[str]) -> str | None:
    """Newest release among those AVAILABLE that WANTED names; None if there is none."""
    if wanted in available:
        return wanted
    usual = {name: _order(name) for name in available if USUAL_RELEASE.fullmatch(name)}
    if wanted == "debian":
        usual = {name: order for name, order in usual.items() if series(name) in SUPPORTED_SERIES}
    else:
        usual = {name: order for name, order in usual.items()
                 if re.match(re.escape(wanted) + r"(?![\d])", name)}
    return max(usual, key=usual.__getitem__) if usual else None


def processor_of(release: str) -> Processor:
    """The processor of a release, as in 7.2.12+deb13-cloud-amd64."""
    return next((processor for processor in Processor
                 if processor.names.debian in release.split("-")), Processor.X86_64)


def series(release: str) -> str:
    """The series of a release, as in 7.2."""
    found = re.match(r"\d+\.\d+", release)
    return found[0] if found else release


def releases(names: Iterable[str], prefix: str) -> list[str]:
    """The releases in the NAMES of packages that begin with PREFIX."""
    return [name[len(prefix):] for name in names
            if name.startswith(prefix) and re.match(r"\d.*-[a-z0-9]*$", name[len(prefix):])]


def _order(release: str) -> tuple[int, ...]:
    """Sort key of a release that matches USUAL_RELEASE."""
    numbers = USUAL_RELEASE.fullmatch(release)
    assert numbers
    # A release candidate comes before the release.
    return (int(numbers[1]), int(numbers[2]), int(numbers[3] or 0),
            int(numbers[4]) if numbers[4] else 1 << 30, int(numbers[5] or 0))


def _offers(wanted: str, with_headers: Sequence[str], names: Sequence[str]) -> str:
    unsigned = [name for name in with_headers if USUAL_RELEASE.fullmatch(name)
                and f"linux-image-{name}" not in names]
    usable = [name for name in with_headers if USUAL_RELEASE.fullmatch(name)
              and name not in unsigned]
    text = (f"the archive has no kernel {wanted} with headers; it has "
            f"{', '.join(sorted(usable, key=_order)) or 'none'}")
    if unsigned:
        text += (f", and without a signature of Debian's, only by the whole name, "
                 f"{', '.join(sorted(unsigned, key=_order))}")
    if wanted == "debian":
        text += f"; the driver supports the series {' and '.join(SUPPORTED_SERIES)}"
    return text


def _present(cache: Cache, wanted: str, processor: Processor) -> list[str]:
    """The releases for PROCESSOR in the cache, of the unsigned ones only the one WANTED."""
    found = [file.parent.name for file in cache.debian.glob(f"*/{INFORMATION}")]
    return [release for release in found if processor_of(release) is processor
            and (release == wanted or _information(cache, release)["signed"])]


def _is_wanting(cache: Cache, release: str, names: Sequence[str]) -> bool:
    """True if the release is to be fetched. An unsigned one in the cache is fetched again once the
    archive has it signed: otherwise the newest kernel would be one now, and another by the cache
    next time."""
    if release not in _present(cache, release, processor_of(release)):
        return True
    return not _information(cache, release)["signed"] and f"linux-image-{release}" in names


def _information(cache: Cache, release: str) -> Information:
    information: Information = json.loads(
        (cache.debian / release / INFORMATION).read_text(encoding="utf-8"))
    return information


def _read(cache: Cache, release: str, is_cached: bool = False) -> DebianKernel:
    folder = cache.debian / release
    return DebianKernel(release, _information(cache, release)["version"], folder / "headers",
                        folder / "source", folder / "image", is_cached)


def _fetch(cache: Cache, release: str, names: Sequence[str]) -> None:
    cache.require_space(4, f"Debian's kernel {release}")
    title = f"Debian kernel {release}"
    processor = processor_of(release)
    headers = f"linux-headers-{release}"
    version = _field(cache, headers, "Version", processor)
    source = f"linux-source-{series(release)}"
    _require_source(cache, source, version, release)
    signed = f"linux-image-{release}" in names
    if not signed:
        say(f"{title}: the archive has it only unsigned as yet")
    image = [name.format(release) for name in (IMAGE_PACKAGES if signed else UNSIGNED_PACKAGES)]
    image = [name for name in image if name in names]
    # Signed packages are made after the others and may have a version of their own.
    packages = [f"{headers}={version}", f"{source}={version}", *image]

    folder = cache.debian / release
    partial = cache.debian / f"{release}.partial"
    for leftover in (partial, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    build_root.apt_download(cache, f"{title}: packages", packages, partial, processor)
    log = cache.log / f"debian-kernel-{release}.log"
    log.unlink(missing_ok=True)
    build_root.run_logged(cache, Step(f"{title}: unpacking", log, timeout=1800),
                          ["sh", "-ec", _unpack_script(release, headers, source, image)],
                          failed=f"could not unpack Debian's kernel {release}", cwd=partial)
    (partial / INFORMATION).write_text(json.dumps(
        {"version": version, "signed": signed, "packages": packages}), encoding="utf-8")
    # The new name is given last: a folder with a release for its name is a whole one.
    partial.rename(folder)


def _field(cache: Cache, package: str, name: str, processor: Processor) -> str:
    shown = build_root.apt_cache(cache, ["show", "--no-all-versions", package], processor)
    found = re.search(rf"^{name}: (.*)$", shown or "", re.M)
    if not found:
        raise Failure(f"the archive says no {name} of {package}")
    return found[1]


def _require_source(cache: Cache, source: str, version: str, release: str) -> None:
    listed = build_root.apt_cache(cache, ["madison", source], processor_of(release)) or ""
    versions = re.findall(rf"^ *{re.escape(source)} \| (\S+) \|", listed, re.M)
    if version not in versions:
        raise Failure(f"Debian's kernel {release} is of version {version}, but the archive has "
                      f"{source} only of version {', '.join(versions) or 'none'}; choose another "
                      "kernel")


def _unpack_script(release: str, headers: str, source: str, image: Sequence[str]) -> str:
    """Unpacks the downloaded packages into the folders that the others read."""
    kept = " ".join(f"./usr/src/linux-headers-{release}/{name}"
                    for name in (".config", "Module.symvers", "vmlinux"))
    lines = ["mkdir headers source image",
             f"dpkg-deb --fsys-tarfile {headers}_*.deb | tar -x -C headers --strip-components=4 "
             f"--no-same-owner {kept}"]
    lines += [f"dpkg-deb -x {name}_*.deb image" for name in image]
    lines += [f"dpkg-deb --fsys-tarfile {source}_*.deb | "
              f"tar -xO --wildcards './usr/src/{source}.tar.*' | "
              f"{unpack_source(source, 'source')}",
              "rm ./*.deb"]
    return "\n".join(lines)


def unpack_source(top: str, folder: str | pathlib.Path) -> str:
    """The shell command that unpacks what a module's build reads of a kernel source, an archive of
    the folder TOP that comes by its standard input."""
    excluded = " ".join(f"--exclude='{top}/{pattern}'" for pattern in UNREAD_SOURCE)
    return (f"tar -xJ -C {folder} --strip-components=1 --no-same-owner --anchored --wildcards "
            f"{excluded}")
