# SPDX-License-Identifier: GPL-2.0
"""A kernel whose headers are installed on this machine, which is a Debian system: the parts that a
module for it is built from, and the reasons for which it cannot be built."""

import os
import pathlib
import shutil

from . import module_file
from .debian_kernel import DebianKernel, series, unpack_source
from .external_module import C_DRIVER, METADATA, ExternalModule
from .failure import Failure
from .kernel_source import SUPPORTED_SERIES
from .kernel_tools import ThisMachine
from .progress import Step

CACHE = pathlib.Path("/var/cache/xen-gntdev-rust")

# Disk space that a build takes, in MB: the source and the metadata are kept, the rest is made again
# each time.
SOURCE_SIZE = 370
METADATA_SIZE = 270
MODULE_SIZE = 30


class InstalledKernel:
    """The installed kernel RELEASE. Files made for it are kept in a folder of CACHE."""

    def __init__(self, release: str, cache: pathlib.Path = CACHE,
                 system: pathlib.Path = pathlib.Path("/")) -> None:
        self.release = release
        self.system = pathlib.Path(system)
        self.folder = pathlib.Path(cache) / release
        self.source = self.folder / "source"
        # Version of the source package. A kernel may be rebuilt from other source and keep its
        # release.
        self.source_version = self.folder / "source.version"
        self.headers = self.system / "lib/modules" / release / "build"
        self.tools = ThisMachine()
        self.source_package = f"linux-source-{series(release)}"

    def problems(self) -> list[str]:
        """Reasons, as texts, for which the module cannot be built; none if it can."""
        if series(self.release) not in SUPPORTED_SERIES:
            return [f"the kernel is of another series than {' and '.join(SUPPORTED_SERIES)}, which "
                    "the driver is written for"]
        if not (self.headers / ".config").is_file():
            return [f"its headers are not installed: apt install linux-headers-{self.release}"]
        found = self._module().fit_problems()
        if not found and not self._has_source():
            found = self._source_problems()
        return found or self._space_problems()

    def build(self, log: pathlib.Path) -> pathlib.Path:
        """Build the module and return its file."""
        problems = self.problems()
        if problems:
            raise Failure(f"no module for {self.release}: {'; '.join(problems)}")
        self._remove_folders_of_others()
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._has_source():
            self._unpack_source(log)
        return self._module(log).build(self._shipped())

    def _module(self, log: pathlib.Path | None = None) -> ExternalModule:
        version = self._headers_version() or "unknown"
        kernel = DebianKernel(self.release, version, self.headers, self.source, self.system)
        return ExternalModule(kernel, self.tools, self.folder, log or self.folder / "build.log")

    def _has_source(self) -> bool:
        """True if the source that goes with the headers was unpacked before."""
        try:
            kept = self.source_version.read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        return self.source.is_dir() and kept == self._headers_version()

    def _source_problems(self) -> list[str]:
        wanted = self._headers_version()
        if not wanted:
            return [f"its headers are of no Debian package, so the version of {self.source_package}"
                    " that goes with it is unknown"]
        present = self._version(self.source_package)
        if present != wanted:
            return [f"it is of version {wanted}, {self.source_package} is "
                    f"{'of version ' + present if present else 'not installed'}: "
                    f"apt install {self.source_package}={wanted}"]
        return []

    def _space_problems(self) -> list[str]:
        # Folders that exist will be kept or replaced.
        needed = (MODULE_SIZE + (0 if self.source.exists() else SOURCE_SIZE)
                  + (0 if (self.folder / METADATA).exists() else METADATA_SIZE))
        place = next(folder for folder in self.folder.parents if folder.exists())
        free = _free(place)
        if free < needed and os.access(self.folder.parent, os.W_OK):
            # Otherwise the remains of removed kernels would keep every other from being built.
            self._remove_folders_of_others()
            free = _free(place)
        return [] if free >= needed else [
            f"building it takes {needed} MB in {self.folder.parent}, there are {free} MB free"]

    def _headers_version(self) -> str | None:
        return self._version(f"linux-headers-{self.release}")

    def _version(self, package: str) -> str | None:
        """Version of a package whose files are there; None if they are not."""
        shown = self.tools.output(["dpkg-query", "--admindir", str(self.system / "var/lib/dpkg"),
                                   "-W", "-f", "${db:Status-Status} ${Version}", package])
        status, _, version = (shown or "").partition(" ")
        return version if status not in ("", "not-installed", "config-files") else None

    def _unpack_source(self, log: pathlib.Path) -> None:
        version = self._headers_version()
        archives = sorted((self.system / "usr/src").glob(f"{self.source_package}.tar.*"))
        if not archives:
            raise Failure(f"{self.source_package} has no archive in /usr/src")
        partial = self.folder / "source.partial"
        self.source_version.unlink(missing_ok=True)
        for leftover in (partial, self.source):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir()
        step = Step(f"kernel source of {self.release}: unpacking", log, timeout=1800)
        self.tools.run(step, ["sh", "-ec", f"{unpack_source(self.source_package, partial)} <'"
                              f"{archives[-1]}'"], failed="could not unpack the kernel source")
        partial.rename(self.source)
        # Written last: without it the source is not whole.
        self.source_version.write_text(version or "", encoding="utf-8")

    def _shipped(self) -> bytes | None:
        """A module that came with the kernel; none where only the headers are installed."""
        files = (self.system / "lib/modules" / self.release / "kernel/drivers/xen").glob("*.ko*")
        return module_file.find(C_DRIVER, files)

    def _remove_folders_of_others(self) -> None:
        """Remove the files made for kernels that are gone."""
        for folder in self.folder.parent.glob("*"):
            if not (self.system / "lib/modules" / folder.name).exists():
                shutil.rmtree(folder)


def _free(place: pathlib.Path) -> int:
    """Free space there, in MB."""
    return shutil.disk_usage(place).free // 1000000
