# SPDX-License-Identifier: GPL-2.0
"""Processors that kernels and guests are built for, by the names that each tool has for them."""

import enum
import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Names of a processor."""
    # Of Debian's packages.
    debian: str
    # The ARCH of the kernel's build.
    kernel: str
    # That of the GNU tools, which begins the names of tools that work for another processor, and of
    # the folder of libraries.
    gnu: str
    # The target of rustc.
    rust: str


class Processor(enum.StrEnum):
    """Processor of a kernel and of its guests."""
    X86_64 = "x86_64"
    ARM64 = "arm64"

    @property
    def names(self) -> Names:
        """Its names in other places."""
        return NAMES[self]

    @property
    def is_native(self) -> bool:
        """True for the processor of this machine, whose programs run here."""
        return self is of_this_machine()


NAMES = {
    Processor.X86_64: Names("amd64", "x86", "x86_64-linux-gnu", "x86_64-unknown-linux-gnu"),
    Processor.ARM64: Names("arm64", "arm64", "aarch64-linux-gnu", "aarch64-unknown-linux-gnu"),
}
ARM64_MACHINES = ("aarch64", "arm64")


def of_this_machine() -> Processor:
    """The processor that this program runs on."""
    return Processor.ARM64 if platform.machine() in ARM64_MACHINES else Processor.X86_64
