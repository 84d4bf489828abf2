# SPDX-License-Identifier: GPL-2.0
"""The log of one boot: messages of the hypervisor, the kernels and the emulator, line by line.

Each line starts with the seconds since the emulator's start and the source:

    xen     the hypervisor
    dom0    dom0's kernel, or the only kernel of a machine without Xen
    domU    the domU's console: its kernel, and the output of its command
    run     the output of the command in dom0 (also on boot's standard output)
    qemu    the emulator's own messages
    boot    the harness: steps of the start, and how it ended
"""

import enum
import pathlib
import re
import time
from dataclasses import dataclass


class Source(enum.StrEnum):
    """Origin of a line."""
    XEN = "xen"
    DOM0 = "dom0"
    DOMU = "domU"
    RUN = "run"
    QEMU = "qemu"
    BOOT = "boot"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log."""
    # Since the emulator's start.
    seconds: float
    source: Source
    text: str


Lines = list[Line]

# Consoles send colours and cursor movements; the log is for reading and searching.
NOT_TEXT = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|[\x00-\x08\x0b-\x1f\x7f]")
FORMAT = re.compile(rf" *(\d+\.\d{{3}}) ({'|'.join(Source)}) *\| (.*)")


class Writer:
    """Appends lines to the log as they come, so that the last one before a death is there."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.lines: Lines = []
        self._file = open(path, "w", encoding="utf-8", buffering=1)
        self._started = time.monotonic()

    def add(self, source: Source, text: str) -> None:
        """Append one line."""
        line = Line(self.elapsed(), source, NOT_TEXT.sub("", text))
        self.lines.append(line)
        self._file.write(f"{line.seconds:8.3f} {line.source:4} | {line.text}\n")

    def elapsed(self) -> float:
        """Seconds since the log was opened."""
        return time.monotonic() - self._started

    def close(self) -> None:
        """Close the file. The lines stay."""
        self._file.close()


class Splitter:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._partial = b""

    def lines(self, chunk: bytes) -> list[str]:
        """The lines that CHUNK completes."""
        *whole, self._partial = (self._partial + chunk).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def rest(self) -> list[str]:
        """The last line, if the stream ended without finishing it."""
        rest, self._partial = self._partial, b""
        return [rest.decode(errors="replace")] if rest.strip() else []


def read(path: pathlib.Path) -> Lines:
    """The lines of a log written by Writer."""
    with open(path, encoding="utf-8") as stream:
        matches = (FORMAT.fullmatch(line.rstrip("\n")) for line in stream)
        return [Line(float(match[1]), Source(match[2]), match[3]) for match in matches if match]
