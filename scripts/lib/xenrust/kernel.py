# SPDX-License-Identifier: GPL-2.0
"""Configures and builds the kernel, with the overlay in it, in the build root."""

import email.utils
import hashlib
import json
import os
import re
import shutil

from . import build_root, kernel_source, overlay
from .cache import REPOSITORY
from .failure import Failure
from .progress import Step

CONFIGS = REPOSITORY / "qemu-test" / "configs"

# Each kernel is the sum of its fragments; where two name the same option, the later one counts.
FRAGMENTS = {
    "dom0": ("dom0.config",),
    "lockdep": ("dom0.config", "lockdep.config"),
}

IMAGE = "arch/x86/boot/bzImage"
BUILT = ".xen-rust-built"
CONFIGURED = ".xen-rust-configured"

BUILT_LINE = re.compile(r"  (CC|AS|LD|AR|RUSTC|BINDGEN|HOSTCC|HOSTLD|HOSTRUSTC)\b")


def ensure(cache, config="dom0"):
    """Return the folder of the built kernel CONFIG; at once when nothing changed since."""
    build_root.ensure(cache)
    tree = kernel_source.ensure(cache)
    with cache.lock("kernel"):
        applied = overlay.apply(tree, supported_only=False)
        return Build(cache, tree, config, cache.kernel / config).ensure(applied)


class Build:
    """One build folder of one kernel tree."""

    def __init__(self, cache, tree, config, folder):
        self.cache = cache
        self.tree = tree
        self.config = config
        self.folder = folder
        self.title = f"kernel {config}"
        self.log = cache.log / f"kernel-{config}.log"

    def ensure(self, applied):
        """Bring the folder up to date with the tree and the overlay APPLIED to it."""
        fragment = merge([(CONFIGS / name).read_text(encoding="utf-8")
                          for name in FRAGMENTS[self.config]])
        version = kernel_source.version(self.tree)
        configured = _hash(version, json.dumps(fragment), self._overlay_kconfig())
        built = _hash(configured, applied.digest())
        if self._stamp(BUILT) == built and (self.folder / IMAGE).exists():
            return self.folder
        if not (self.folder / IMAGE).exists():
            self.cache.require_space(5, f"building the kernel {self.config}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        if self._stamp(CONFIGURED) != configured:
            self._configure(fragment)
            (self.folder / CONFIGURED).write_text(configured, encoding="utf-8")
        self.make(["bzImage", "modules"], failed=f"the kernel {version} ({self.config}) does not "
                                                 "build")
        (self.folder / BUILT).write_text(built, encoding="utf-8")
        return self.folder

    def make(self, targets, failed, variables=(), title=None):
        """Run make in the build folder as a logged step."""
        step = Step(title or self.title, self.log, timeout=3 * 3600, follow=_MakeProgress())
        build_root.run_logged(
            self.cache, step,
            ["make", f"-j{os.cpu_count()}", f"O={self.folder}", *self.variables(), *variables,
             *targets], failed=failed, cwd=self.tree)

    def variables(self):
        """Return the make variables that every use of the build folder must agree in."""
        # Fixed words instead of this moment and this machine: equal sources, equal kernels.
        released = email.utils.formatdate((self.tree / "Makefile").stat().st_mtime)
        return ["LLVM=1", "CC=ccache clang", "KBUILD_BUILD_USER=xen-rust",
                "KBUILD_BUILD_HOST=build-root", f"KBUILD_BUILD_TIMESTAMP={released}"]

    def _configure(self, fragment):
        file = self.folder / "fragment.config"
        file.write_text("".join(f"{name}={value}\n" for name, value in fragment.items()),
                        encoding="utf-8")
        title = f"{self.title}: configuration"
        self.make(["allnoconfig"], variables=[f"KCONFIG_ALLCONFIG={file}"], title=title,
                  failed=f"the kernel {self.config} cannot be configured")
        dropped = missing(fragment, (self.folder / ".config").read_text(encoding="utf-8"))
        if dropped:
            raise Failure(f"kernel {self.config}: the configuration lost {', '.join(dropped)}; "
                          f"look for what they depend on and add it to {CONFIGS}")
        self.make(["rustavailable"], title=title,
                  failed="the build root's Rust cannot build this kernel")

    def _overlay_kconfig(self):
        return "".join(path.read_text(encoding="utf-8") for path in
                       sorted((REPOSITORY / "drivers/xen").glob("*/Kconfig")))

    def _stamp(self, name):
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None


def merge(texts):
    """Merge config fragments into a dictionary; the last one to name an option decides."""
    merged = {}
    for text in texts:
        for line in text.splitlines():
            off = re.fullmatch(r"# (CONFIG_\w+) is not set", line)
            if off:
                merged[off[1]] = "n"
            elif line and line[0] != "#":
                name, _, value = line.partition("=")
                merged[name] = value
    return merged


def missing(fragment, config):
    """List the options of FRAGMENT that the text of a .config does not carry."""
    actual = merge([config])
    return [f"{name}={value}" for name, value in fragment.items()
            if actual.get(name, "n") != value]


def remove(cache):
    """Delete the build folders."""
    shutil.rmtree(cache.kernel, ignore_errors=True)


def _hash(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class _MakeProgress:
    """Counts what kbuild says it built."""

    def __init__(self):
        self.count = 0

    def __call__(self, line):
        if BUILT_LINE.match(line):
            self.count += 1
            return f"{self.count} objects, last {line.split()[-1]}"
        return None
