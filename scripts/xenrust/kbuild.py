# SPDX-License-Identifier: GPL-2.0
"""Texts of the kernel's build: .config files and the output of make."""

import re
from collections.abc import Iterable, Mapping

BUILT_LINE = re.compile(r"  (CC|AS|LD|AR|RUSTC|CLIPPY|BINDGEN|HOSTCC|HOSTLD|HOSTRUSTC)\b")


def merge(texts: Iterable[str]) -> dict[str, str]:
    """Options of config fragments by name; the last one to name an option decides."""
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


def missing(fragment: Mapping[str, str], config: str) -> list[str]:
    """Options of FRAGMENT that the text of a .config does not carry."""
    actual = merge([config])
    return [f"{name}={value}" for name, value in fragment.items()
            if actual.get(name, "n") != value]


class MakeProgress:
    """Number of the objects that kbuild says it built."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, line: str) -> str | None:
        if BUILT_LINE.match(line):
            self.count += 1
            return f"{self.count} objects, last {line.split()[-1]}"
        return None
