# SPDX-License-Identifier: GPL-2.0
"""What a program needs from its surroundings: its ELF interpreter and shared libraries.

Only the dynamic section is read, the same place where the dynamic loader looks, so no tool has
to be installed and no program is run.
"""

import struct
from collections import namedtuple

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29
EM_X86_64 = 62

Needs = namedtuple("Needs", "interpreter libraries search_path")


class NotForThisMachine(Exception):
    """The file is an ELF file, but not one of 64-bit x86."""


def is_elf(data):
    return data[:4] == b"\x7fELF"


def needs(data):
    """What the ELF file with these bytes needs; a static program needs nothing."""
    elf_class, byte_order = data[4], data[5]
    if (elf_class, byte_order) != (2, 1) or struct.unpack_from("<H", data, 18)[0] != EM_X86_64:
        raise NotForThisMachine("an ELF file of another machine, not of 64-bit x86")
    segments = _segments(data)
    interpreter = None
    libraries, search_path = [], []
    for kind, offset, _, size in segments:
        if kind == PT_INTERP:
            interpreter = data[offset:offset + size].rstrip(b"\0").decode()
        elif kind == PT_DYNAMIC:
            libraries, search_path = _dynamic(data, segments, offset, size)
    return Needs(interpreter, libraries, search_path)


def _segments(data):
    table, = struct.unpack_from("<Q", data, 32)
    entry_size, count = struct.unpack_from("<HH", data, 54)
    found = []
    for index in range(count):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", data,
                                                               table + index * entry_size)
        found.append((kind, offset, address, size))
    return found


def _dynamic(data, segments, offset, size):
    entries = [struct.unpack_from("<QQ", data, place)
               for place in range(offset, offset + size, 16)]
    strings = dict(entries).get(DT_STRTAB, 0)
    strings = next((o + strings - a for kind, o, a, s in segments
                    if kind == PT_LOAD and a <= strings < a + s), 0)

    def string(value):
        start = strings + value
        return data[start:data.index(b"\0", start)].decode()

    libraries = [string(value) for tag, value in entries if tag == DT_NEEDED]
    search_path = [folder for tag, value in entries if tag in (DT_RPATH, DT_RUNPATH)
                   for folder in string(value).split(":")]
    return libraries, search_path
