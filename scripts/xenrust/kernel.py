# SPDX-License-Identifier: GPL-2.0
"""Configuration and build of kernels, with the overlay in them, in the build root."""

import email.utils
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence

from . import build_root, kasan, kernel_source, overlay
from .cache import REPOSITORY, Cache
from .failure import Failure
from .kbuild import MakeProgress, merge, missing
from .progress import Step, say

CONFIGS = REPOSITORY / "qemu-test" / "configs"

# Each kernel is the sum of its fragments; where two name the same option, the later one counts.
FRAGMENTS = {
    "dom0": ("dom0.config",),
    "lockdep": ("dom0.config", "lockdep.config"),
    "fault": ("dom0.config", "fault.config"),
    "kasan": ("dom0.config", "kasan.config"),
    "arm64": ("arm64.config",),
}
# Those that can be booted. The others are only looked at by clippy.
BOOTED = ("dom0", "lockdep", "fault", "kasan")
# Make's names of the architectures of kernels that are not for x86.
ARCHITECTURES = {"arm64": "arm64"}

# Those that boot only with code of their own in the kernel; such a kernel has a tree of its own.
ADDITIONS = {"kasan": kasan.ADDITION}

IMAGE = "arch/x86/boot/bzImage"
SYMBOLS = "System.map"
MODULES = ("drivers/xen/gntdev/xen_gntdev_rust.ko", "drivers/xen/gntdev/xen_gntdev_rust_kunit.ko",
           "drivers/xen/gntdev/test/xen_dma_buf_importer.ko",
           "drivers/xen/events/xen_evtchn_fifo_rust_kunit.ko")
BUILT = ".xen-rust-built"
CONFIGURED = ".xen-rust-configured"


def ensure(cache: Cache, config: str = "dom0", tree: str | pathlib.Path | None = None,
           only_module: bool = False) -> pathlib.Path:
    """Folder of the built kernel CONFIG; at once when nothing changed since.

    TREE is a person's own kernel tree. ONLY_MODULE leaves the rest of a kernel that was built
    before as it is.
    """
    applied = _overlaid_tree(cache, config, tree)
    # A tree of one's own gets folders of its own, so that neither disturbs the other.
    name = f"{config}-{applied.tree.name}-{_hash(str(applied.tree))[:8]}" if tree else config
    build = Build(cache, applied.tree, config, name)
    with cache.lock(f"kernel-{name}"):
        build.ensure(applied, only_module)
    return build.folder


def clippy(cache: Cache, config: str) -> None:
    """Run clippy on the overlay as the kernel CONFIG has it, in a build folder of its own; any
    warning is a failure."""
    name = f"clippy-{config}"
    build = Build(cache, _overlaid_tree(cache, config).tree, config, name)
    with cache.lock(f"kernel-{name}"):
        build.configure()
        build.make(["drivers/xen/gntdev/", "drivers/xen/events/"], variables=["CLIPPY=1", "W=e"],
                   failed="clippy has complaints about the overlay")


def _overlaid_tree(cache: Cache, config: str,
                   tree: str | pathlib.Path | None = None) -> overlay.Overlay:
    """Bring the overlay in TREE, or in our own tree, up to date and return it."""
    addition = ADDITIONS.get(config, overlay.NOTHING)
    if tree and addition != overlay.NOTHING:
        raise Failure(f"the kernel {config} needs changes in the kernel itself, which are made in "
                      "a tree of the cache alone; leave KDIR= out")
    build_root.ensure(cache)
    source = tree or kernel_source.ensure(cache)
    with cache.lock("overlay"):
        if addition != overlay.NOTHING:
            source = kernel_source.copy(cache, pathlib.Path(source), config)
        place = overlay.Overlay(source, addition=addition)
        if tree:
            place.require_supported()
        written = place.apply()
    if written:
        say(f"overlay: {written} files written to {place.tree}")
    return place


class Build:
    """One build folder of one kernel tree."""

    def __init__(self, cache: Cache, tree: pathlib.Path, config: str, name: str) -> None:
        self.cache = cache
        self.tree = tree
        self.config = config
        self.folder = cache.kernel / name
        self.title = f"kernel {name}"
        self.log = cache.log / f"kernel-{name}.log"

    def ensure(self, applied: overlay.Overlay, only_module: bool) -> None:
        """Bring the folder up to date with the tree and the overlay APPLIED to it."""
        # Taken before the build: changes that another run applies meanwhile count as not built.
        built = _hash(self._configuration_hash(), applied.digest())
        has_image = (self.folder / IMAGE).exists()
        if has_image and self._stamp(BUILT) == built:
            return
        self.configure()
        # Gone while make is at work: an interrupted build must not count as the one before it.
        (self.folder / BUILT).unlink(missing_ok=True)
        if only_module and has_image:
            self.make(MODULES, failed="the module does not build")
            return
        self.make(["bzImage", "modules"], failed=f"the kernel {self.config} does not build")
        (self.folder / BUILT).write_text(built, encoding="utf-8")

    def configure(self) -> None:
        """Write the .config, unless it is that of these fragments and this tree already."""
        self.log.unlink(missing_ok=True)
        if self._stamp(CONFIGURED) == self._configuration_hash():
            return
        self.cache.require_space(5, f"building the {self.title}")
        self.folder.mkdir(parents=True, exist_ok=True)
        # Gone until the new .config is whole: an interrupted run must not count as configured.
        (self.folder / CONFIGURED).unlink(missing_ok=True)
        fragment = self._fragment()
        file = self.folder / "fragment.config"
        file.write_text("".join(f"{name}={value}\n" for name, value in fragment.items()),
                        encoding="utf-8")
        title = f"{self.title}: configuration"
        self.make(["allnoconfig"], variables=[f"KCONFIG_ALLCONFIG={file}"], title=title,
                  failed=f"the {self.title} cannot be configured")
        dropped = missing(fragment, (self.folder / ".config").read_text(encoding="utf-8"))
        if dropped:
            raise Failure(f"{self.title}: the configuration lost {', '.join(dropped)}; "
                          f"look for what they depend on and add it to {CONFIGS}")
        self.make(["rustavailable"], title=title,
                  failed="the build root's Rust cannot build this kernel")
        (self.folder / CONFIGURED).write_text(self._configuration_hash(), encoding="utf-8")

    def make(self, targets: Sequence[str], failed: str, variables: Sequence[str] = (),
             title: str | None = None) -> None:
        """Run make in the build folder as a logged step."""
        step = Step(title or self.title, self.log, timeout=3 * 3600, follow=MakeProgress())
        build_root.run_logged(
            self.cache, step,
            ["make", f"-j{os.cpu_count()}", f"O={self.folder}", *self.variables(), *variables,
             *targets], failed=failed, cwd=self.tree, binds=[self.tree])

    def variables(self) -> list[str]:
        """Make variables that every use of the build folder must agree in."""
        # Fixed words instead of this moment and this machine: equal sources, equal kernels.
        released = email.utils.formatdate((self.tree / "Makefile").stat().st_mtime)
        variables = ["LLVM=1", "CC=ccache clang", "KBUILD_BUILD_USER=xen-rust",
                     "KBUILD_BUILD_HOST=build-root", f"KBUILD_BUILD_TIMESTAMP={released}"]
        if self.config in ARCHITECTURES:
            variables.append(f"ARCH={ARCHITECTURES[self.config]}")
        return variables

    def _fragment(self) -> dict[str, str]:
        return merge([(CONFIGS / name).read_text(encoding="utf-8")
                      for name in FRAGMENTS[self.config]])

    def _configuration_hash(self) -> str:
        return _hash(kernel_source.version(self.tree), json.dumps(self._fragment()),
                     self._overlay_kconfig())

    def _overlay_kconfig(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in
                       sorted((REPOSITORY / "drivers/xen").glob("*/Kconfig")))

    def _stamp(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
