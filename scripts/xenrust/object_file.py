# SPDX-License-Identifier: GPL-2.0
"""Object files of 64-bit ELF: sections, functions and relocations."""

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .failure import Failure

SHT_SYMTAB, SHT_RELA, SHT_NOBITS = 2, 4, 8
SHF_ALLOC, SHF_EXECINSTR = 2, 4
STT_FUNC = 2
# Relocations of x86-64 that change eight bytes; the others change at most four.
R_X86_64_64, R_X86_64_PC64 = 1, 24


@dataclass(frozen=True)
class Section:
    """One section."""
    name: str
    kind: int
    flags: int
    # In a linked file; 0 in an object file.
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int

    @property
    def has_code(self) -> bool:
        """True for a section whose instructions are loaded."""
        return self.flags & (SHF_ALLOC | SHF_EXECINSTR) == SHF_ALLOC | SHF_EXECINSTR


@dataclass(frozen=True)
class Function:
    """One function."""
    name: str
    # Number of its section.
    section: int
    # In the section of an object file; an address in a linked file.
    start: int
    size: int


class ObjectFile:
    """The object file with the bytes DATA."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise Failure("this is no 64-bit little-endian ELF file")
        self._data = data
        table, = struct.unpack_from("<Q", data, 40)
        entry_size, count, names = struct.unpack_from("<HHH", data, 58)
        raw = [struct.unpack_from("<IIQQQQIIQ", data, table + number * entry_size)
               for number in range(count)]
        strings = raw[names][4]
        self.sections = [
            Section(self._string(strings + name), kind, flags, address, offset, size, link, info,
                    alignment)
            for name, kind, flags, address, offset, size, link, info, alignment in raw]

    def content(self, section: Section) -> bytes:
        """The bytes of SECTION."""
        if section.kind == SHT_NOBITS:
            return bytes(section.size)
        return self._data[section.offset:section.offset + section.size]

    @functools.cached_property
    def functions(self) -> list[Function]:
        """The functions that have a size."""
        found = []
        for section in self.sections:
            if section.kind != SHT_SYMTAB:
                continue
            strings = self.sections[section.link].offset
            for name, info, _, where, start, size in struct.iter_unpack("<IBBHQQ",
                                                                        self.content(section)):
                if info & 15 == STT_FUNC and size:
                    found.append(Function(self._string(strings + name), where, start, size))
        return found

    def relocated(self, number: int) -> Iterator[tuple[int, int]]:
        """Places in section NUMBER, by offset and size, that relocations change."""
        for section in self.sections:
            if section.kind == SHT_RELA and section.info == number:
                for offset, info, _ in struct.iter_unpack("<QQq", self.content(section)):
                    is_long = info & 0xffffffff in (R_X86_64_64, R_X86_64_PC64)
                    yield offset, 8 if is_long else 4

    def _string(self, offset: int) -> str:
        return self._data[offset:self._data.index(b"\0", offset)].decode()
