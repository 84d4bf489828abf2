# SPDX-License-Identifier: GPL-2.0
"""Where commands run that build a module: in the build root, or on this machine itself."""

import os
import subprocess

from . import build_root


class BuildRoot:
    """The tools of the build root."""

    def __init__(self, cache):
        self.cache = cache

    def run(self, step, argv, failed, cwd="/"):
        """Run ARGV as a logged step."""
        build_root.run_logged(self.cache, step, argv, failed=failed, cwd=cwd)

    def output(self, argv):
        """What a short command prints, None if it fails."""
        return build_root.output(self.cache, argv, cwd="/")


class ThisMachine:
    """The tools of this machine, for a module that is built where it will be loaded."""

    # What make takes from the environment would decide about the build.
    FOREIGN = ("ARCH", "CC", "CROSS_COMPILE", "KCFLAGS", "KERNELRELEASE", "KRUSTFLAGS", "LLVM",
               "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "O", "KBUILD_EXTMOD", "KBUILD_OUTPUT",
               "RUST_LIB_SRC", "RUSTFLAGS")
    # So would a compiler of the administrator's own, which the kernel was not built with.
    PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

    def run(self, step, argv, failed, cwd="/"):
        """Run ARGV as a logged step."""
        command = ["env", *(f"--unset={name}" for name in self.FOREIGN), f"--chdir={cwd}",
                   f"PATH={self.PATH}", *argv]
        step.run(command, failed=failed)

    def output(self, argv):
        """What a short command prints, None if it fails."""
        try:
            result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                    check=False, timeout=300,
                                    env={**os.environ, "LC_ALL": "C", "PATH": self.PATH})
        except FileNotFoundError:
            return None
        return result.stdout if result.returncode == 0 else None
