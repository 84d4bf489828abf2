# SPDX-License-Identifier: GPL-2.0
"""Coverage of a kernel's objects by boots."""

import collections
import pathlib
from collections.abc import Iterable, Sequence

from xenrust.cache import Cache
from xenrust.failure import Failure
from xenrust.line_tables import IMAGE, MODULE, Table
from xenrust.object_file import Function, ObjectFile

from .. import object_tools
from ..spec import Place
from . import blocks, line_table, placement
from .called import called
from .lines import Code, Coverage

# Functions that lie so close together are watched as one place.
NEAR = 256


class Measure:
    """The objects of one kernel, and the code of them that has run."""

    def __init__(self, cache: Cache, config: str, tables: Sequence[Table]) -> None:
        folder = cache.kernel / config
        self._module = ObjectFile((folder / MODULE).read_bytes())
        self._codes: dict[str, list[Code]] = {MODULE: [], IMAGE: []}
        names: set[str] = set()
        for table in tables:
            functions = _functions(folder, table)
            self._codes[table.part.linked_into].append(Code(
                _rows(cache, table.file),
                line_table.jumps(object_tools.output(cache, "llvm-objdump", "-d",
                                                     "--no-show-raw-insn", table.file)),
                functions))
            if table.part.linked_into == IMAGE:
                names |= {one.name for one in functions}
        self._built_in = built_in(ObjectFile((folder / IMAGE).read_bytes()), names)

    def places(self, module_area: Place) -> tuple[Place, ...]:
        """Places to watch: the functions in the kernel's image, and the MODULE_AREA."""
        return (*joined((one.start, one.size) for one in self._built_in), module_area)

    def of(self, folder: pathlib.Path) -> dict[str, Coverage]:
        """Coverage of the source files by the boots that have left files in FOLDER."""
        boots = list(blocks.read(folder))
        in_image = placement.Finder(self._built_in)
        for boot in boots:
            for function, block in in_image.find(boot):
                self._run(IMAGE, function, block)
        for function, block in placement.module_blocks(self._module, boots):
            self._run(MODULE, function, block)
        files: dict[str, Coverage] = {}
        for codes in self._codes.values():
            for code in codes:
                code.add_to(files)
        return files

    def _run(self, file: str, function: Function, block: blocks.Block) -> None:
        for code in self._codes[file]:
            code.run(function, block)


def built_in(image: ObjectFile, names: Iterable[str]) -> list[Function]:
    """The functions NAMES in the kernel's IMAGE, each of which has only one of the name."""
    found = collections.defaultdict(list)
    for one in image.functions:
        found[one.name].append(one)
    several = [name for name in names if len(found[name]) > 1]
    if several:
        raise Failure(f"the kernel has several functions {', '.join(several)}")
    return [one for name in names for one in found[name]]


def joined(places: Iterable[Place]) -> list[Place]:
    """PLACES in order, with those that are near to each other in one."""
    result: list[Place] = []
    for start, size in sorted(places):
        if result and start - sum(result[-1]) < NEAR:
            result[-1] = result[-1][0], start + size - result[-1][0]
        else:
            result.append((start, size))
    return result


def _functions(folder: pathlib.Path, table: Table) -> list[Function]:
    """The functions of a TABLE's object that can run, for the kernel that was built in FOLDER."""
    functions = ObjectFile(table.file.read_bytes()).functions
    if not table.part.bindings:
        return functions
    # The linked file of the table has no relocations.
    names = {one.name for one in called(ObjectFile((folder / table.part.path).read_bytes()))}
    return [one for one in functions if one.name in names]


def _rows(cache: Cache, file: pathlib.Path) -> list[line_table.Row]:
    lines = object_tools.output(cache, "llvm-dwarfdump", "--debug-line", file)
    spans = list(line_table.spans(lines))
    places = object_tools.output(cache, "llvm-symbolizer", "--inlines", "--functions=none",
                                 f"--obj={file}",
                                 feed="".join(f"{span.start:#x}\n" for span in spans))
    return list(line_table.rows(spans, places))
