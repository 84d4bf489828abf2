# SPDX-License-Identifier: GPL-2.0
"""Needs of a program: its ELF interpreter and shared libraries.

Only the dynamic section is read, the same place where the dynamic loader looks, so no tool has
to be installed and no program is run.
"""

import struct
from typing import NamedTuple

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29


class Needs(NamedTuple):
    """Needs of one program; a static one has none."""
    interpreter: str | None
    libraries: list[str]
    search_path: list[str]


# A segment: type, offset in the file, address, size in the file.
Segment = tuple[int, int, int, int]


class NotForThisMachine(Exception):
    """The file is an ELF file, but not one of the machine in question."""


def is_elf(data: bytes) -> bool:
    """True for the bytes of an ELF file."""
    return data[:4] == b"\x7fELF"


def needs(data: bytes, machine: int) -> Needs:
    """Needs of the ELF file with these bytes, which is to be one of the 64-bit little-endian
    MACHINE, an EM_* number of the ELF specification."""
    elf_class, byte_order = data[4], data[5]
    if (elf_class, byte_order) != (2, 1) or struct.unpack_from("<H", data, 18)[0] != machine:
        raise NotForThisMachine("an ELF file of another machine")
    segments = _segments(data)
    interpreter = None
    libraries: list[str] = []
    search_path: list[str] = []
    for kind, offset, _, size in segments:
        if kind == PT_INTERP:
            interpreter = data[offset:offset + size].rstrip(b"\0").decode()
        elif kind == PT_DYNAMIC:
            libraries, search_path = _dynamic(data, segments, offset, size)
    return Needs(interpreter, libraries, search_path)


def _segments(data: bytes) -> list[Segment]:
    table, = struct.unpack_from("<Q", data, 32)
    entry_size, count = struct.unpack_from("<HH", data, 54)
    found = []
    for index in range(count):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", data,
                                                               table + index * entry_size)
        found.append((kind, offset, address, size))
    return found


def _dynamic(data: bytes, segments: list[Segment], offset: int,
             size: int) -> tuple[list[str], list[str]]:
    entries = [struct.unpack_from("<QQ", data, place)
               for place in range(offset, offset + size, 16)]
    strings = dict(entries).get(DT_STRTAB, 0)
    strings = next((o + strings - a for kind, o, a, s in segments
                    if kind == PT_LOAD and a <= strings < a + s), 0)

    def string(value: int) -> str:
        start = strings + value
        return data[start:data.index(b"\0", start)].decode()

    libraries = [string(value) for tag, value in entries if tag == DT_NEEDED]
    search_path = [folder for tag, value in entries if tag in (DT_RPATH, DT_RUNPATH)
                   for folder in string(value).split(":")]
    return libraries, search_path
