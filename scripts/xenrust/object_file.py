# SPDX-License-Identifier: GPL-2.0
"""Object files of 64-bit ELF: sections, functions and relocations."""

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .failure import Failure

SHT_SYMTAB, SHT_RELA, SHT_NOBITS = 2, 4, 8
SHF_ALLOC, SHF_EXECINSTR = 2, 4
STB_LOCAL, STT_FUNC = 0, 2
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
    # Only its own object can name it.
    is_local: bool = False


@dataclass(frozen=True)
class Symbol:
    """One symbol; that of a section has no name."""
    name: str
    info: int
    section: int
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
    def symbols(self) -> list[Symbol]:
        """The symbols in the order of the table."""
        return [Symbol(self._string(self.sections[section.link].offset + name), info, where, start,
                       size)
                for section in self.sections if section.kind == SHT_SYMTAB
                for name, info, _, where, start, size
                in struct.iter_unpack("<IBBHQQ", self.content(section))]

    @functools.cached_property
    def functions(self) -> list[Function]:
        """The functions that have a size."""
        return [Function(one.name, one.section, one.start, one.size, one.info >> 4 == STB_LOCAL)
                for one in self.symbols if one.info & 15 == STT_FUNC and one.size]

    def references(self, number: int) -> Iterator[tuple[int, str]]:
        """Places in section NUMBER, by offset, at which relocations put addresses, and the name of
        the symbol there."""
        for offset, info, _ in self._relocations(number):
            yield offset, self.symbols[info >> 32].name

    def relocated(self, number: int) -> Iterator[tuple[int, int]]:
        """Places in section NUMBER, by offset and size, that relocations change."""
        for offset, info, _ in self._relocations(number):
            yield offset, 8 if info & 0xffffffff in (R_X86_64_64, R_X86_64_PC64) else 4

    def _relocations(self, number: int) -> Iterator[tuple[int, int, int]]:
        for section in self.sections:
            if section.kind == SHT_RELA and section.info == number:
                yield from struct.iter_unpack("<QQq", self.content(section))

    def _string(self, offset: int) -> str:
        return self._data[offset:self._data.index(b"\0", offset)].decode()
