# SPDX-License-Identifier: GPL-2.0
"""Line tables for the objects of drivers/xen in a kernel that has none.

Each object is compiled once more by the command that kbuild has kept, with line tables, to a folder
of its own. Its code must be the same byte for byte, so the table holds for the kernel as it is; the
kernel itself is not built again and does not change.
"""

import hashlib
import pathlib
import re
import shlex
from dataclasses import dataclass

from . import build_root
from .cache import Cache
from .failure import Failure
from .object_file import ObjectFile
from .progress import Step

MODULE = "drivers/xen/gntdev/xen_gntdev_rust.ko"
# The kernel with its symbols.
IMAGE = "vmlinux"

KEPT_COMMAND = re.compile(r"savedcmd_(\S+) := (.*)")
# With line tables, rustc would keep variables that it otherwise removes, and make other code.
RUST_FLAGS = "-Cdebuginfo=line-tables-only -Zinline-mir-preserve-debug=no"
C_FLAG = "-gline-tables-only"


@dataclass(frozen=True)
class Part:
    """One object of drivers/xen, by its path in the kernel's build folder."""
    path: str
    # File that it is linked into.
    linked_into: str
    # Its bindings, if it is written in Rust.
    bindings: str | None = None


PARTS = (
    Part("drivers/xen/gntdev/gntdev.o", MODULE, "drivers/xen/rust/bindings_generated.rs"),
    Part("drivers/xen/rust/helpers.o", MODULE),
    Part("drivers/xen/rust/trace.o", MODULE),
    Part("drivers/xen/events/fifo_events.o", IMAGE,
         "drivers/xen/rust/event_bindings_generated.rs"),
    Part("drivers/xen/rust/event_helpers.o", IMAGE),
)


@dataclass(frozen=True)
class Table:
    """A line table and the code that it belongs to."""
    part: Part
    # The object with its line table, linked so that each instruction has an address of its own.
    file: pathlib.Path


def ensure(cache: Cache, config: str, folder: pathlib.Path) -> list[Table]:
    """Line tables of all objects of the built kernel CONFIG, in FOLDER."""
    build = cache.kernel / config
    with cache.lock(f"kernel-{config}"):
        folder.mkdir(parents=True, exist_ok=True)
        return [_ensure(cache, build, part, folder) for part in PARTS]


def _ensure(cache: Cache, build: pathlib.Path, part: Part, folder: pathlib.Path) -> Table:
    original = build / part.path
    compiled = folder / original.name
    linked = compiled.with_suffix(".lines")
    if not linked.exists() or linked.stat().st_mtime < original.stat().st_mtime:
        kept = original.with_name(f".{original.name}.cmd").read_text(encoding="utf-8")
        script = (f"{command(kept, part, build, compiled)} && "
                  f"ld.lld --noinhibit-exec --unresolved-symbols=ignore-all --no-warnings "
                  f"-e 0 -o {linked}.partial {compiled}")
        step = Step(f"line tables of {part.path}", cache.log / "line-tables.log", timeout=600)
        build_root.run_logged(cache, step, ["sh", "-c", script], cwd=build,
                              failed=f"{part.path} does not build with line tables")
        require_same_code(original.read_bytes(), compiled.read_bytes(), part.path)
        pathlib.Path(f"{linked}.partial").rename(linked)
    return Table(part, linked)


def command(kept: str, part: Part, build: pathlib.Path, compiled: pathlib.Path) -> str:
    """Shell command that compiles PART of the kernel in BUILD to the file COMPILED, with line
    tables, from the text KEPT of kbuild's file of its command."""
    found = KEPT_COMMAND.match(kept)
    if not found:
        raise Failure(f"kbuild has kept no command of {part.path}")
    target, text = found.groups()
    folder, _, name = target.rpartition("/")
    # The object, for the tools after the compiler as well, and the compiler's list of its sources.
    text = text.replace(target, str(compiled))
    text = text.replace(f"{folder}/.{name}.d", f"{compiled}.d")
    # Without ccache, whose results must not depend on the folder.
    compiler, options = ((" rustc ", f" rustc {RUST_FLAGS} ") if part.bindings
                         else ("ccache clang ", f"clang {C_FLAG} "))
    if compiler not in text:
        raise Failure(f"kbuild's command of {part.path} does not name the compiler "
                      f"'{compiler.strip()}': {text}")
    text = text.replace(compiler, options, 1)
    if not part.bindings:
        return text
    # As the kernel's Makefiles export them.
    bindings = shlex.quote(f"XEN_RUST_BINDINGS={build / part.bindings}")
    return f"export RUSTC_BOOTSTRAP=1 {bindings}; {text}"


def require_same_code(original: bytes, compiled: bytes, name: str) -> None:
    """Stop if two object files differ in the bytes of their code, or in the places of addresses in
    it, which the linker fills in."""
    if _code(original) != _code(compiled):
        raise Failure(f"{name} has other code with line tables than without; the kernel's build "
                      "folder may be of another state of the sources: run scripts/build-kernel")


def _code(data: bytes) -> dict[str, tuple[bytes, list[tuple[int, int]]]]:
    file = ObjectFile(data)
    return {section.name: (file.content(section), sorted(file.relocated(number)))
            for number, section in enumerate(file.sections) if section.has_code}


def digest(cache: Cache, config: str) -> str:
    """Name for the code of the built kernel CONFIG and of the module for it."""
    found = hashlib.sha256()
    for path in (IMAGE, MODULE):
        found.update((cache.kernel / config / path).read_bytes())
    return found.hexdigest()[:16]
