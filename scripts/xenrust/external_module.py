# SPDX-License-Identifier: GPL-2.0
"""Build of the driver as a module for a kernel that a distribution built: out of its tree, from the
same sources.

A distribution ships no Rust metadata of its kernels. They are made here once for each kernel, from
the source and the .config that the kernel was built with; after that the module takes seconds.
Mismatches with the kernel are looked for before, while and after the module is built.
"""

import hashlib
import os
import pathlib
import re
import shutil
from collections.abc import Sequence

from . import kernel_fit, kernel_source
from .cache import REPOSITORY
from .debian_kernel import DebianKernel
from .failure import Failure
from .kbuild import MakeProgress
from .kernel_tools import Tools
from .progress import Step

SOURCE = "drivers/xen/gntdev"
MODULE = "xen_gntdev_rust"
FILE = f"{MODULE}.ko"
# Linux's own, which every kernel that has Xen comes with.
C_DRIVER = "xen-gntdev"
METADATA = "metadata"
MADE = ".xen-rust-metadata"


class ExternalModule:
    """The module for KERNEL, built in FOLDER by TOOLS."""

    def __init__(self, kernel: DebianKernel, tools: Tools, folder: pathlib.Path,
                 log: pathlib.Path) -> None:
        self.kernel = kernel
        self.tools = tools
        self.metadata = folder / METADATA
        self.objects = folder / "module" / SOURCE
        self.file = folder / FILE
        self.log = log
        self.title = f"module for {kernel.release}"

    def build(self, shipped: bytes | None = None) -> pathlib.Path:
        """Bring the module up to date and return its file. SHIPPED is the content of any module
        that came with the kernel."""
        self.log.unlink(missing_ok=True)
        self.require_fit()
        self._make_metadata()
        self.objects.mkdir(parents=True, exist_ok=True)
        # Symbols that the kernel lacks are found below, with a message of our own; any other
        # complaint of modpost still ends the build.
        self._make(["modules"], [f"M={REPOSITORY / SOURCE}", f"MO={self.objects}",
                                 "CONFIG_XEN_GNTDEV_RUST=m", "KBUILD_MODPOST_WARN=1"],
                   self.title, failed="the module does not build")
        self.file.unlink(missing_ok=True)
        built = self.objects / f"{MODULE}.ko"
        self._check_built(built, shipped)
        # Debug symbols are a hundred times the size of the loaded module.
        self.tools.run(Step(self.title, self.log, timeout=60),
                       [self._tool("objcopy"), "--strip-debug", built, self.file],
                       failed="the module cannot be stripped")
        return self.file

    def require_fit(self) -> None:
        """Stop if this kernel or these tools will not do."""
        self._stop_at(self.fit_problems())

    def fit_problems(self) -> list[str]:
        """Mismatches that are known before anything is built."""
        config = self.kernel.config()
        problems = kernel_fit.config_problems(config)
        # The tools that a kernel without Rust was built with are of no interest.
        return problems or kernel_fit.tool_problems(config, *self._tool_versions())

    def _tool_versions(self) -> tuple[str | None, str | None, str | None]:
        """Texts in which rustc, bindgen and the C compiler say their versions."""
        def version(tool: str) -> str | None:
            return self.tools.output([tool, "--version"])

        return version("rustc"), version("bindgen"), version(
            kernel_fit.compiler(self.kernel.config()))

    def _make_metadata(self) -> None:
        """Prepare the kernel's build folder as far as a module in Rust takes."""
        wanted = self._metadata_hash()
        stamp = self.metadata / MADE
        if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return
        shutil.rmtree(self.metadata, ignore_errors=True)
        self.metadata.mkdir(parents=True)
        shutil.copyfile(self.kernel.headers / ".config", self.metadata / ".config")
        title = f"Rust metadata of {self.kernel.release}"
        self._make(["prepare", "modules_prepare"], [f"LOCALVERSION={self._local_version()}"], title,
                   failed=f"the Rust metadata of {self.kernel.release} cannot be made")
        made = (self.metadata / ".config").read_text(encoding="utf-8")
        release = (self.metadata / "include/config/kernel.release").read_text(encoding="utf-8")
        self._stop_at(kernel_fit.config_differences(self.kernel.config(), made)
                      + kernel_fit.release_problems(self.kernel.release, release.strip()))
        for name in ("Module.symvers", "vmlinux"):
            if (self.kernel.headers / name).exists():
                shutil.copyfile(self.kernel.headers / name, self.metadata / name)
        stamp.write_text(wanted, encoding="utf-8")

    def _metadata_hash(self) -> str:
        parts = [self.kernel.release, self.kernel.version, self.kernel.config(),
                 *map(str, self._tool_versions())]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _local_version(self) -> str:
        """Rest of the kernel's release behind the version of its source."""
        version = kernel_source.version(self.kernel.source)
        if not self.kernel.release.startswith(version):
            self._stop_at(kernel_fit.release_problems(self.kernel.release, version))
        return self.kernel.release[len(version):]

    def _make(self, targets: Sequence[str], variables: Sequence[str], title: str,
              failed: str) -> None:
        compiler = kernel_fit.compiler(self.kernel.config())
        names = kernel_fit.processor(self.kernel.config()).names
        step = Step(title, self.log, timeout=3600, follow=MakeProgress())
        self.tools.run(step, ["make", f"-j{os.cpu_count()}", f"O={self.metadata}",
                              f"ARCH={names.kernel}", f"CC={compiler}",
                              f"CROSS_COMPILE={self._tool('')}", *variables, *targets],
                       failed=failed, cwd=self.kernel.source)

    def _tool(self, name: str) -> str:
        """The tool NAME of the same kind as the compiler, as in aarch64-linux-gnu-nm."""
        prefix = re.match(r"(.*-)?(?=gcc|clang)", kernel_fit.compiler(self.kernel.config()))
        return f"{prefix[0] if prefix else ''}{name}"

    def _check_built(self, built: pathlib.Path, shipped: bytes | None) -> None:
        undefined = self.tools.output([self._tool("nm"), "--undefined-only", str(built)])
        self._stop_at(kernel_fit.symbol_problems(undefined or "", self.kernel.symvers())
                      + kernel_fit.vermagic_problems(built.read_bytes(), self.kernel.release,
                                                     shipped))

    def _stop_at(self, problems: Sequence[str]) -> None:
        if problems:
            raise Failure(f"{MODULE} does not fit the kernel {self.kernel.release}: "
                          f"{'; '.join(problems)}")
