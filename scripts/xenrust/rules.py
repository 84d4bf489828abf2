# SPDX-License-Identifier: GPL-2.0
"""Rules of this repository that no other tool checks."""

import re

# Data and prose: no SPDX line wanted.
UNMARKED = ("Cargo.lock", "COPYING", "README.md", ".kunitconfig")

# The places where unsafe code lives: all else is safe Rust. A library that takes the place of a C
# function cannot be without.
UNSAFE_PLACES = ("drivers/xen/rust/", "tools/xen/xen-grants/", "qemu-test/programs/guest-test/",
                 "qemu-test/programs/without-grant-copy/")

# These macros of the kernel and of ours expand to unsafe code: their users cannot forbid it.
KERNEL_MACRO = re.compile(r"^(module|uint_param|per_cpu)! \{$", re.M)
PROGRAM_CRATE_ROOT = re.compile(r"/src/(lib|main|bin/[^/]+|bin/[^/]+/main)\.rs$")
FORBIDS_UNSAFE = re.compile(r"^#!\[forbid\(unsafe_code\)\]$", re.M)
# A crate that compiles files of the kernel's abstractions cannot forbid what these need. It denies
# it, and allows it for the module of such a file.
KERNEL_ABSTRACTIONS = re.compile(r'^#\[path = "(\.\./)+drivers/xen/rust"\]$', re.M)
DENIES_UNSAFE = re.compile(r"^#!\[deny\(unsafe_code\)\]$", re.M)
COMMENT_OR_STRING = re.compile(r'//.*|"(?:[^"\\]|\\.)*"')

# Brackets in a word of a pattern keep this file itself from matching.
PLACES = (
    (re.compile(r"/w[o]rk/|/h[o]me/\w"), "names a path of one machine"),
    (re.compile(r"//(deb|ftp|security|snapshot|archive|static|index|registry|files)\.\w"),
     "names a host of a package archive"),
    (re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X)\b"), "leaves something open"),
)


def problems(path: str, text: str) -> list[str]:
    """Problems of the file at PATH, a path inside the repository, as texts."""
    found = []
    lines = text.splitlines()
    if not path.endswith(UNMARKED) and not any("SPDX-License-Identifier:" in line
                                               for line in lines[:2]):
        found.append(f"{path}:1: no SPDX line")
    if not path.endswith("Cargo.lock"):
        for number, line in enumerate(lines, 1):
            found += [f"{path}:{number}: {complaint}: {line.strip()}"
                      for pattern, complaint in PLACES if pattern.search(line)]
    if path.endswith(".rs"):
        found += _unsafe_problems(path, text)
    return found


def _unsafe_problems(path: str, text: str) -> list[str]:
    if path.startswith(UNSAFE_PLACES):
        return []
    found = [f"{path}:{number}: unsafe outside of {' and '.join(UNSAFE_PLACES)}"
             for number, line in enumerate(text.splitlines(), 1)
             if re.search(r"\bunsafe\b", COMMENT_OR_STRING.sub("", line))]
    forbids = (not KERNEL_MACRO.search(text) if path.startswith("drivers/")
               else PROGRAM_CRATE_ROOT.search(path))
    denies = KERNEL_ABSTRACTIONS.search(text) and DENIES_UNSAFE.search(text)
    if forbids and not denies and not FORBIDS_UNSAFE.search(text):
        found.append(f"{path}:1: does not say #![forbid(unsafe_code)]")
    return found
