# SPDX-License-Identifier: GPL-2.0
"""The initramfs images that the guests run from: busybox, Xen's toolstack, added files.

Everything comes from packages for the guests' processor, except what the user adds. The image is
not compressed: copying ten megabytes is cheaper for an emulated machine than unpacking three.
"""

import os
import pathlib
import shlex

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xenrust.failure import Failure

from . import elf, newc
from .architecture.base import Architecture
from .package_folder import BUSYBOX, PackageFolder
from .spec import Addition

GUEST_SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "guest"

# As on Debian, these names in the root folder are links into /usr.
MERGED_FOLDERS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}

DOM0_DAEMONS = ("xenstored", "xenconsoled", "xen-init-dom0", "xl")
DOM0_TOOLS = ("libxl-save-helper", "xenconsole", "test-resource", "test-xenstore",
              "vchan-socket-proxy", "xen-diag", "xenperf", "xentrace")
XENSTORE_TOOLS = ("chmod", "exists", "list", "ls", "read", "rm", "watch", "write")
# QEMU as a back end of disks, and a file that it does not start without even when it shows nothing.
QEMU = ("usr/libexec/xen-qemu-system-i386", "usr/share/qemu/keymaps/en-us")
# Firmware of an HVM domain: the loader, which is part of the toolstack, the BIOS, and the option
# ROM by which QEMU boots a kernel.
LOADER = "boot/hvmloader"
FIRMWARE = ("usr/share/seabios/bios-256k.bin", "usr/share/qemu/linuxboot_dma.bin")
# Present even when no program in the image names them: tests and samples link to them, and the C
# library loads the last one when a thread is cancelled.
ALWAYS_LIBRARIES = ("libxengnttab.so.1", "libxenevtchn.so.1", "libxenstore.so.4",
                    "libxenforeignmemory.so.1", "libgcc_s.so.1")


@dataclass(frozen=True)
class _Folder:
    """A folder of the image."""


@dataclass(frozen=True)
class _Symlink:
    """A symbolic link of the image."""
    target: str


@dataclass(frozen=True)
class _File:
    """A file of the image."""
    data: bytes
    mode: int


class Image:
    """The files of one guest; finish() adds the libraries that they need and packs them."""

    def __init__(self, packages: PackageFolder, architecture: Architecture) -> None:
        self._packages = packages
        self._architecture = architecture
        self._entries: dict[str, _Folder | _Symlink | _File] = {}
        # Files of the host that were added, by their place in the image.
        self._host_sources: dict[str, pathlib.Path] = {}
        library_folder = architecture.library_folder
        # Search path of the guest's dynamic loader; also the order of search in the packages.
        self._library_folders = (library_folder, "usr/lib", "usr/lib64")
        triplet = library_folder.rpartition("/")[2]
        self._host_library_folders = (
            "/usr/local/lib", f"/usr/local/lib/{triplet}", f"/lib/{triplet}", f"/usr/lib/{triplet}",
            "/lib64", "/usr/lib64", "/lib", "/usr/lib")
        for link, target in MERGED_FOLDERS.items():
            self.symlink(link, target)
        self._add_busybox()
        for library in ALWAYS_LIBRARIES:
            self._add_library(library, wanted_by="the image", search=[])

    def write(self, place: str, data: bytes, executable: bool = False) -> None:
        """Put DATA at PLACE."""
        self._entries[_canonical(place)] = _File(data, 0o755 if executable else 0o644)

    def symlink(self, place: str, target: str) -> None:
        """Make PLACE a link to TARGET."""
        self._entries[place] = _Symlink(target)

    def add_from_packages(self, source: str, place: str | None = None) -> None:
        """Copy a file of the packages to the same PLACE, or to another."""
        data = self._packages.read(source)
        if data is None:
            raise Failure(f"{self._packages.root} lacks /{source}; "
                          "remove it to have it made again")
        self.write(place or source, data, executable=True)

    def add(self, name: str | pathlib.Path, place: str | None = None) -> None:
        """Copy the user's file or folder NAME to PLACE, or to the place that --help names."""
        source = pathlib.Path(name)
        if place is not None and place.endswith("/"):
            place += source.resolve().name
        if source.is_dir():
            self._add_folder(source, place or f"/root/{source.resolve().name}")
        elif source.is_file():
            executable = os.access(source, os.X_OK)
            home = "/usr/local/bin" if executable else "/root"
            self._add_file(source, place or f"{home}/{source.name}", executable)
        else:
            raise Failure(f"cannot add {source}: there is no such file or folder; "
                          "give --add the path of a file or folder on this machine")

    def finish(self) -> bytes:
        """The whole image as bytes."""
        self._add_needs_of_programs()
        archive = newc.Archive()
        archive.folder("dev")
        archive.char_device("dev/console", 5, 1)
        for folder in ("proc", "sys", "run", "tmp", "root", "mnt"):
            archive.folder(folder)
        for place, entry in sorted(self._entries.items()):
            match entry:
                case _Symlink(target):
                    archive.symlink(place, target)
                case _Folder():
                    archive.folder(place)
                case _File(data, mode):
                    archive.file(place, data, mode)
        return archive.finish()

    def _add_busybox(self) -> None:
        self.add_from_packages(BUSYBOX)
        for applet in self._packages.applets():
            self.symlink(f"usr/bin/{applet}", "busybox")

    def _add_folder(self, source: pathlib.Path, place: str) -> None:
        place = _canonical(place)
        self._entries[place] = _Folder()
        for item in sorted(source.iterdir()):
            target = f"{place}/{item.name}"
            if item.is_symlink():
                self._entries[target] = _Symlink(os.readlink(item))
            elif item.is_dir():
                self._add_folder(item, target)
            elif item.is_file():
                self._add_file(item, target, os.access(item, os.X_OK))

    def _add_file(self, source: pathlib.Path, place: str, executable: bool) -> None:
        try:
            self.write(place, source.read_bytes(), executable)
        except OSError as error:
            raise Failure(f"cannot add {source}: {error.strerror}; "
                          "make it readable for you") from error
        self._host_sources[_canonical(place)] = source.resolve()

    def _add_needs_of_programs(self) -> None:
        """Go through all files until no new one names anything that is not in the image."""
        waiting = list(self._entries)
        while waiting:
            place = waiting.pop()
            entry = self._entries[place]
            if not isinstance(entry, _File):
                continue
            if elf.is_elf(entry.data):
                waiting += self._add_needs_of_elf(place, entry.data)
            elif entry.data[:2] == b"#!" and entry.mode & 0o111:
                waiting += self._add_script_interpreter(place, entry.data)

    def _add_needs_of_elf(self, place: str, data: bytes) -> list[str]:
        try:
            needs = elf.needs(data, self._architecture.elf_machine)
        except elf.NotForThisMachine as error:
            if place not in self._host_sources:
                return []
            raise Failure(f"cannot add {self._host_sources[place]}: it is {error}; "
                          f"build it for {self._architecture.title}") from error
        added: list[str] = []
        if needs.interpreter:
            added += self._add_interpreter(place, needs.interpreter)
        for library in needs.libraries:
            added += self._add_library(library, place, needs.search_path)
        return added

    def _add_interpreter(self, place: str, interpreter: str) -> list[str]:
        """The dynamic loader that an ELF program names, or the program that runs a script."""
        target = _canonical(interpreter)
        if target in self._entries:
            return []
        # The folder of unpacked packages has no links of the merged /usr.
        data = self._packages.read(target)
        if data is None and os.path.isfile(interpreter):
            data = pathlib.Path(interpreter).read_bytes()
        if data is None:
            raise Failure(f"/{place} runs by {interpreter}, which is nowhere to be found; "
                          "add that too, or link the program statically")
        self.write(target, data, executable=True)
        return [target]

    def _add_script_interpreter(self, place: str, data: bytes) -> list[str]:
        words = data[2:data.find(b"\n")].decode(errors="replace").split()
        if not words:
            return []
        return self._add_interpreter(place, words[0])

    def _add_library(self, library: str, wanted_by: str, search: Sequence[str]) -> list[str]:
        """Find LIBRARY for the file at WANTED_BY; libraries of the packages come first, so
        that all programs in the image share one C library."""
        origin = os.path.dirname(wanted_by)
        guest_folders = [_canonical(folder.replace("$ORIGIN", origin).replace("${ORIGIN}", origin))
                         for folder in search] + list(self._library_folders)
        if any(f"{folder}/{library}" in self._entries for folder in guest_folders):
            return []
        for folder in guest_folders:
            data = self._packages.read(f"{folder}/{library}")
            if data is not None:
                self.write(f"{folder}/{library}", data)
                return [f"{folder}/{library}"]
        source = self._host_sources.get(wanted_by)
        host_origin = str(source.parent) if source else "/nonexistent"
        host_folders = [folder.replace("$ORIGIN", host_origin).replace("${ORIGIN}", host_origin)
                        for folder in search] + list(self._host_library_folders)
        for folder in host_folders:
            found = pathlib.Path(folder, library)
            if found.is_file():
                place = f"{self._architecture.library_folder}/{library}"
                self.write(place, found.read_bytes())
                # The needs of this library in turn are looked for from its own place.
                self._host_sources[place] = found.resolve()
                return [place]
        name = source or f"/{wanted_by}"
        raise Failure(
            f"{name} needs the library {library}, which neither the packages nor this machine "
            "has where its loader looks; add it too: "
            f"--add /path/of/{library}:/{self._architecture.library_folder}/{library}")


@dataclass(frozen=True)
class Contents:
    """Contents of a guest's image besides its tools."""
    # Variables of its scripts.
    settings: Mapping[str, str]
    # Files of kernel modules.
    modules: Sequence[pathlib.Path]
    # Shell command that runs when the guest is up.
    command: str | None
    additions: Iterable[Addition]


@dataclass(frozen=True)
class DomU:
    """The domU that dom0 starts."""
    # As xl reads it.
    configuration: str
    kernel: pathlib.Path
    initramfs: bytes
    # QEMU emulates its devices.
    has_device_model: bool


def build_dom0(packages: PackageFolder, architecture: Architecture, contents: Contents,
               domu: DomU | None) -> bytes:
    """The image of dom0."""
    image = Image(packages, architecture)
    _add_scripts(image, "dom0-init", contents)
    image.write("etc/boot/wait-for-domu.sh", (GUEST_SCRIPTS / "wait-for-domu.sh").read_bytes())
    _add_screen_tool(image)
    xen_tools = _xen_tool_folder(packages.root)
    for name in DOM0_DAEMONS:
        image.add_from_packages(f"{xen_tools}/{name}", f"usr/sbin/{name}")
    for name in DOM0_TOOLS:
        image.add_from_packages(f"{xen_tools}/{name}", f"usr/bin/{name}")
    # The folder of the programs that xl starts itself.
    image.symlink(xen_tools, "/usr/bin")
    _add_xenstore_tools(image)
    # dom0's memory is fixed on Xen's command line; xl must not take any of it away.
    image.write("etc/xen/xl.conf", b'autoballoon="off"\n')
    if domu:
        image.write("etc/xen/domU.cfg", domu.configuration.encode())
        image.write("boot/vmlinuz", domu.kernel.read_bytes())
        image.write("boot/domU-initramfs", domu.initramfs)
        if domu.has_device_model:
            _add_device_model(image, xen_tools)
    return image.finish()


def build_system(packages: PackageFolder, architecture: Architecture,
                 contents: Contents) -> bytes:
    """The image from which an installed system starts, whose root folder dom0 mounts."""
    image = Image(packages, architecture)
    _add_scripts(image, "system-init", contents)
    for name in ("system-command", "run-command.service"):
        image.write(f"etc/boot/{name}", (GUEST_SCRIPTS / name).read_bytes())
    return image.finish()


def build_domu(packages: PackageFolder, architecture: Architecture, contents: Contents) -> bytes:
    """The image of the domU."""
    image = Image(packages, architecture)
    _add_scripts(image, "domu-init", contents)
    _add_xenstore_tools(image)
    return image.finish()


def build_without_xen(packages: PackageFolder, architecture: Architecture,
                      contents: Contents) -> bytes:
    """The image of a machine that runs the kernel alone."""
    image = Image(packages, architecture)
    _add_scripts(image, "kernel-init", contents)
    _add_screen_tool(image)
    return image.finish()


def _add_scripts(image: Image, init: str, contents: Contents) -> None:
    image.write("init", (GUEST_SCRIPTS / init).read_bytes(), executable=True)
    image.write("etc/boot/common.sh", (GUEST_SCRIPTS / "common.sh").read_bytes())
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in contents.settings.items())
    image.write("etc/boot/settings", lines.encode())
    image.write("etc/boot/run", (contents.command or "").encode())
    image.write("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    image.write("etc/group", b"root:x:0:\n")
    for module in contents.modules:
        image.write(f"lib/modules/{module.name}", module.read_bytes())
    for addition in contents.additions:
        image.add(*addition)


def _add_screen_tool(image: Image) -> None:
    image.write("usr/bin/take-screen", (GUEST_SCRIPTS / "take-screen").read_bytes(),
                executable=True)


def _add_device_model(image: Image, xen_tools: str) -> None:
    image.add_from_packages(f"{os.path.dirname(xen_tools)}/{LOADER}")
    for place in QEMU + FIRMWARE:
        image.add_from_packages(place)


def _add_xenstore_tools(image: Image) -> None:
    image.add_from_packages("usr/bin/xenstore-read", "usr/bin/xenstore")
    for tool in XENSTORE_TOOLS:
        image.symlink(f"usr/bin/xenstore-{tool}", "xenstore")


def _xen_tool_folder(root: pathlib.Path) -> str:
    """The toolstack of the hypervisor's version; Debian keeps each version in its own folder."""
    folders = sorted((root / "usr/lib").glob("xen-[0-9]*/bin/xenstored"))
    if not folders:
        raise Failure(f"{root} has no Xen toolstack; remove it to have it made again")
    return str(folders[-1].parent.relative_to(root))


def _canonical(place: str) -> str:
    """PLACE without a leading slash, dots or the links of the merged /usr."""
    place = os.path.normpath("/" + place).lstrip("/")
    first, slash, rest = place.partition("/")
    return MERGED_FOLDERS[first] + slash + rest if first in MERGED_FOLDERS and rest else place
