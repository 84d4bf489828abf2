# SPDX-License-Identifier: GPL-2.0
"""Mismatches between a kernel that was built elsewhere, the tools here and a module for the kernel.

Each function lists problems as texts that name both values; an empty list means a match.
"""

import re

from .kbuild import merge
from .processor import Processor

# Options that the driver needs: those that its Kconfig file depends on and selects.
NEEDED_OPTIONS = {
    "CONFIG_MODULES": "y",
    "CONFIG_XEN": "y",
    "CONFIG_RUST": "y",
    "CONFIG_ARCH_HAS_DMA_OPS": "y",
    "CONFIG_MMU_NOTIFIER": "y",
    "CONFIG_FIND_NORMAL_PAGE": "y",
    "CONFIG_DMA_SHARED_BUFFER": "y",
}
# The kernel must not have Linux's own driver in itself: both provide the same device.
C_DRIVER = "CONFIG_XEN_GNTDEV"

# Options that only say which tools there are. They are compared as tools, by their own rules. The
# last ones are those of arm64's vDSO for 32-bit programs, which takes a compiler for these; no
# structure depends on it.
OPTIONS_OF_TOOLS = re.compile(r"CONFIG_(\w+_VERSION|\w+_VERSION_TEXT|\w+_MAJOR_VERSION"
                              r"|(?:THUMB2_)?COMPAT_VDSO)")

MODINFO = re.compile(rb"(?<=\0)vermagic=([^\0]*)\0")


def config_problems(config: str) -> list[str]:
    """Options of NEEDED_OPTIONS that the text of a .config lacks."""
    actual = merge([config])
    found = [f"the kernel has {name}={actual.get(name, 'n')}, the driver needs {name}={value}"
             for name, value in NEEDED_OPTIONS.items() if actual.get(name, "n") != value]
    if actual.get(C_DRIVER) == "y":
        found.append(f"the kernel has {C_DRIVER}=y, Linux's own driver in itself; the driver needs "
                     f"{C_DRIVER}=m or none")
    return found


def config_differences(shipped: str, made: str) -> list[str]:
    """Options that came out otherwise than in the .config that the kernel was built with: a
    structure may then be laid out otherwise, too."""
    before, after = merge([shipped]), merge([made])
    return [f"{name} is {before.get(name, 'n')} in the kernel, but would be {after.get(name, 'n')} "
            "here"
            for name in sorted(before.keys() | after.keys())
            if before.get(name, "n") != after.get(name, "n")
            and not OPTIONS_OF_TOOLS.fullmatch(name)]


def processor(config: str) -> Processor:
    """The processor that the kernel is built for."""
    return Processor.ARM64 if merge([config]).get("CONFIG_ARM64") == "y" else Processor.X86_64


def compiler(config: str) -> str:
    """The name of the C compiler that the kernel was built with, as in x86_64-linux-gnu-gcc-14."""
    return _text(config, "CONFIG_CC_VERSION_TEXT").split(" ")[0] or "gcc"


def tool_problems(config: str, rustc: str | None, bindgen: str | None,
                  cc: str | None) -> list[str]:
    """Tools that are not those that the kernel was built with. RUSTC, BINDGEN and CC are their own
    texts about their versions, None if there is no such tool.

    Rust has no stable binary interface: rustc must be the same to the letter, because the names of
    the kernel crate's functions are made of it. bindgen decides how the kernel crate sees the
    kernel's structures. C has a stable interface; the same major version will do.
    """
    found = []
    for tool, name, here in (("rustc", "CONFIG_RUSTC_VERSION_TEXT", rustc),
                             ("bindgen", "CONFIG_BINDGEN_VERSION_TEXT", bindgen)):
        there = _text(config, name)
        if there != _first_line(here):
            found.append(f"the kernel was built with {there or 'no ' + tool}, this is "
                         f"{_first_line(here) or 'no ' + tool}")
    there = _text(config, "CONFIG_CC_VERSION_TEXT")
    if _major(there) is None or _major(there) != _major(_first_line(cc)):
        found.append(f"the kernel was built with {there or 'no C compiler'}, this is "
                     f"{_first_line(cc) or 'no ' + compiler(config)}")
    return found


def release_problems(wanted: str, made: str) -> list[str]:
    """Difference between the kernel's release string and that which the tree makes."""
    return [] if wanted == made else [
        f"the kernel's release is {wanted}, that of the source as configured here is "
        f"{made or 'unknown'}"]


def symbol_problems(undefined: str, symvers: str) -> list[str]:
    """UNDEFINED symbols (text of nm) that the kernel's Module.symvers lacks."""
    exported = {line.split("\t")[1] for line in symvers.splitlines() if line.count("\t") >= 2}
    # Weak ones may stay undefined.
    wanted = [line.split()[-1] for line in undefined.splitlines()
              if line.split() and line.split()[0] == "U"]
    if not wanted or not exported:
        return [f"there are {len(wanted)} undefined symbols in the module and {len(exported)} "
                "symbols of the kernel to compare them with"]
    return [f"the module needs {symbol}, the kernel's Module.symvers has no such symbol"
            for symbol in wanted if symbol not in exported]


def vermagic(module: bytes) -> str | None:
    """The version magic in the bytes of a module, None if there is none."""
    found = MODINFO.search(b"\0" + module)
    return found[1].decode(errors="replace") if found else None


def vermagic_problems(module: bytes, release: str, shipped: bytes | None = None) -> list[str]:
    """Difference in version magic that keeps the kernel from loading the bytes of MODULE. SHIPPED
    is a module that came with the kernel; without one only the release is compared."""
    ours = vermagic(module)
    theirs = vermagic(shipped) if shipped is not None else release
    if ours is not None and (ours if shipped is not None else ours.split(" ")[0]) == theirs:
        return []
    return [f"the kernel wants modules with the version magic '{theirs}', the module's is '{ours}'"]


def _text(config: str, name: str) -> str:
    return merge([config]).get(name, "").strip('"')


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _major(text: str) -> tuple[bool, str] | None:
    """The kind of a C compiler and the first number of its version; None if there is none."""
    version = re.search(r"\b(\d+)\.\d+[\d.]*(?= |$)", text)
    return ("clang" in text, version[1]) if version else None
