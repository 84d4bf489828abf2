# SPDX-License-Identifier: GPL-2.0
"""Rules about the imports in drivers/xen: no file imports upwards, and no files import each other.

The imports are read from the paths in the source files (`use crate::...`, `super::...`), without a
compiler. A path stands for the file of the deepest module that it names, so a name that a `mod.rs`
re-exports counts as an import of the `mod.rs`.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator, Mapping

DRIVERS = "drivers/xen/"
ROOMS_FOLDER = DRIVERS + "rust/"
# The name that every crate root gives to the folder of the rooms.
ROOMS_MODULE = "xen"

# Rooms that each room, and each driver, may use besides itself.
MAY_USE = {
    "rust/kernel": set(),
    "rust/grant": {"rust/kernel"},
    "rust/dma_buf": {"rust/kernel", "rust/grant"},
    "rust/event": {"rust/kernel"},
    "rust/gntdev": {"rust/kernel", "rust/grant", "rust/dma_buf", "rust/event"},
    "gntdev": {"rust/kernel", "rust/grant", "rust/dma_buf", "rust/event", "rust/gntdev"},
    "events": {"rust/kernel", "rust/event"},
}
# Stands for the files of rust/ that are in no room: the bindings and the totals, which all may use,
# and the lists of rooms, which use nothing.
NO_ROOM = "rust"

CRATE_ROOT = re.compile(r"^module! \{$", re.M)
COMMENT_OR_LITERAL = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?c?"(?:[^"\\]|\\.)*"|b?'(?:[^'\\]|\\[^']+)'""", re.S)
TOKEN = re.compile(r"""
    (?P<use>\buse\s+(?P<tree>[^;]+);)
  | (?P<module>\bmod\s+(?P<name>\w+)\s*\{)
  | (?P<declared>\bmod\s+(?P<child>\w+)\s*;)
  | (?P<path>(?:\$?\bcrate|\bsuper|\bself)(?:\s*::\s*\w+)+)
  | (?P<brace>[{}])""", re.X)


def problems(sources: Mapping[str, str]) -> list[str]:
    """List the problems of the imports of SOURCES, which maps paths inside the repository to
    texts. Files that are not Rust code of drivers/xen do not matter."""
    crates = Crates({path: text for path, text in sources.items()
                     if path.startswith(DRIVERS) and path.endswith(".rs")})
    graph: dict[str, set[str]] = {}
    found = []
    for path, line, target in crates.imports():
        if target is None:
            found.append(f"{path}:{line}: imports a module that is no file of drivers/xen")
        elif not _allowed(_place(path), _place(target)):
            found.append(f"{path}:{line}: {_place(path)} may not use {_place(target)}: {target}")
        if target is not None:
            graph.setdefault(path, set()).add(target)
    return found + [f"{circle[0]}:1: files import each other: {' -> '.join(circle)}"
                    for circle in circles(graph)]


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return one circle for each edge that closes one in a walk over GRAPH; each begins and ends
    with the same file."""
    found = []
    done = set()

    def walk(node: str, way: list[str]) -> None:
        if node in way:
            found.append(way[way.index(node):] + [node])
        elif node not in done:
            for target in sorted(graph.get(node, ())):
                walk(target, way + [node])
            done.add(node)

    for node in sorted(graph):
        walk(node, [])
    return found


class Crates:
    """The source files of the crates in drivers/xen."""

    def __init__(self, sources: Mapping[str, str]):
        self.sources = sources
        self.folders = {str(parent) + "/" for path in sources
                        for parent in pathlib.PurePosixPath(path).parents}

    def imports(self) -> Iterator[tuple[str, int, str | None]]:
        """Yield file, line and imported file (None if there is no such file) of each import of
        another file."""
        for path, text in self.sources.items():
            for line, module in self._modules(path, _strip(text)):
                for target in self._files(path, module):
                    if target != path:
                        yield path, line, target

    def _modules(self, path: str, code: str) -> Iterator[tuple[int, list[str]]]:
        """Yield line and absolute module path of each path in CODE that names something of the
        crate. The braces tell which modules within the file a path is in."""
        own = self._module_of(path)
        children = {token["child"] for token in TOKEN.finditer(code) if token["declared"]}
        inside: list[str | None] = []
        for token in TOKEN.finditer(code):
            if token["module"] or token["brace"] == "{":
                inside.append(token["name"])
            elif token["brace"] == "}":
                inside = inside[:-1]
            else:
                here = own + [name for name in inside if name is not None]
                paths = (_expand(token["tree"]) if token["use"]
                         else [re.split(r"\s*::\s*", token["path"])] if token["path"] else [])
                for segments in paths:
                    module = _absolute(segments, here, children)
                    if module is not None:
                        yield code.count("\n", 0, token.start()) + 1, module

    def _module_of(self, path: str) -> list[str]:
        """Return the module path of a file: that of a crate root, or of a list of rooms, is its
        crate's or its folder's."""
        folder = ROOMS_FOLDER if path.startswith(ROOMS_FOLDER) else _driver(path)
        parts = list(pathlib.PurePosixPath(path[len(folder):]).with_suffix("").parts)
        if parts[-1] == "mod" or CRATE_ROOT.search(self.sources[path]):
            parts.pop()
        elif folder == ROOMS_FOLDER and len(parts) == 1 and parts != ["bindings"]:
            parts.pop()
        return [ROOMS_MODULE, *parts] if folder == ROOMS_FOLDER else parts

    def _files(self, path: str, module: list[str]) -> list[str | None]:
        """Return the files that MODULE, a module path used in the file PATH, stands for: several
        if several crate roots share the folder."""
        if module[:1] == [ROOMS_MODULE]:
            return [self._deepest(ROOMS_FOLDER, module[1:])]
        if path.startswith(ROOMS_FOLDER):
            return [None]
        folder = _driver(path)
        target = self._deepest(folder, module)
        roots = [root for root, text in self.sources.items()
                 if _driver(root) == folder and CRATE_ROOT.search(text)]
        return [target] if target else list(roots)

    def _deepest(self, folder: str, module: list[str]) -> str | None:
        found = None
        for name in ["", *module]:
            if name and f"{folder}{name}.rs" in self.sources:
                return f"{folder}{name}.rs"
            folder += f"{name}/" if name else ""
            if folder not in self.folders:
                break
            if f"{folder}mod.rs" in self.sources:
                found = f"{folder}mod.rs"
        return found


def _strip(text: str) -> str:
    """Blank comments and literals, so that lines keep their numbers."""
    return COMMENT_OR_LITERAL.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def _absolute(segments: list[str], here: list[str], children: set[str]) -> list[str] | None:
    """Return the module path from the crate's root that SEGMENTS, used in the module HERE, mean;
    None for one that begins in another crate."""
    first, rest = segments[0], segments[1:]
    if first in ("crate", "$crate"):
        return rest
    if first == "self":
        return here + rest
    if first == "super":
        above = here[:-1]
        while rest[:1] == ["super"]:
            above, rest = above[:-1], rest[1:]
        return above + rest
    return here + segments if first in children else None


def _expand(tree: str) -> list[list[str]]:
    """List the paths that a use declaration names: TREE is the text between `use` and `;`."""
    tree = re.sub(r"\s+as\s+\w+|\s+", "", tree)
    head, brace, inner = tree.partition("{")
    if not brace:
        return [[name for name in tree.split("::") if name and name != "*"]]
    prefix = [name for name in head.split("::") if name]
    paths = []
    depth, item = 0, ""
    for character in inner[:-1] + ",":
        if character == "," and depth == 0:
            if item:
                paths += [prefix + ([] if path == ["self"] else path) for path in _expand(item)]
            item = ""
            continue
        depth += (character == "{") - (character == "}")
        item += character
    return paths


def _driver(path: str) -> str:
    """Return the folder of the driver that a file is in."""
    return DRIVERS + path[len(DRIVERS):].split("/")[0] + "/"


def _place(path: str) -> str:
    """Return the room or the driver that a file is in, as MAY_USE names it."""
    parts = path[len(DRIVERS):].split("/")
    if parts[0] != "rust":
        return parts[0]
    return f"rust/{parts[1]}" if len(parts) > 2 else NO_ROOM


def _allowed(user: str, used: str) -> bool:
    return user == used or used == NO_ROOM or used in MAY_USE.get(user, ())
