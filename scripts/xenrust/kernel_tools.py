# SPDX-License-Identifier: GPL-2.0
"""Tools that build a module: those of the build root, or those of this machine."""

import os
import pathlib
import subprocess
from typing import Protocol

from . import build_root
from .cache import Cache
from .progress import Arguments, Step


class Tools(Protocol):
    """A place where commands run."""

    def run(self, step: Step, argv: Arguments, failed: str, cwd: str | pathlib.Path = "/") -> None:
        """Run ARGV as a logged step; a failure has the text FAILED."""

    def output(self, argv: Arguments) -> str | None:
        """Standard output of a short command; None if it fails."""


class BuildRoot:
    """The tools of the build root."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    def run(self, step: Step, argv: Arguments, failed: str, cwd: str | pathlib.Path = "/") -> None:
        """Run ARGV as a logged step; a failure has the text FAILED."""
        build_root.run_logged(self.cache, step, argv, failed=failed, cwd=cwd)

    def output(self, argv: Arguments) -> str | None:
        """Standard output of a short command; None if it fails."""
        return build_root.output(self.cache, argv, cwd="/")


class ThisMachine:
    """The tools of this machine, for a module that is built on the machine that loads it."""

    # Variables by which the environment would decide about the build.
    FOREIGN = ("ARCH", "CC", "CROSS_COMPILE", "KCFLAGS", "KERNELRELEASE", "KRUSTFLAGS", "LLVM",
               "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "O", "KBUILD_EXTMOD", "KBUILD_OUTPUT",
               "RUST_LIB_SRC", "RUSTFLAGS")
    # So would a compiler of the administrator's own, which the kernel was not built with.
    PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

    def run(self, step: Step, argv: Arguments, failed: str, cwd: str | pathlib.Path = "/") -> None:
        """Run ARGV as a logged step; a failure has the text FAILED."""
        command = ["env", *(f"--unset={name}" for name in self.FOREIGN), f"--chdir={cwd}",
                   f"PATH={self.PATH}", *argv]
        step.run(command, failed=failed)

    def output(self, argv: Arguments) -> str | None:
        """Standard output of a short command; None if it fails."""
        try:
            result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                    check=False, timeout=300,
                                    env={**os.environ, "LC_ALL": "C", "PATH": self.PATH})
        except FileNotFoundError:
            return None
        return result.stdout if result.returncode == 0 else None
