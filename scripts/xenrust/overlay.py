# SPDX-License-Identifier: GPL-2.0
"""Overlay of a kernel tree: this repository's folders are put into it and taken out again.

The tree keeps a manifest of the files put there, the lines put into files of the kernel, and the
originals of files that were replaced, so that taking out restores the tree byte for byte. Each is
recorded before it is written: an interrupted run is finished, or undone, by the next one.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import enum
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict

from . import kernel_source
from .cache import REPOSITORY
from .failure import Failure

FOLDERS = ("drivers/xen/gntdev", "drivers/xen/rust", "drivers/xen/events", "include", "samples/xen",
           "tools/xen", "Documentation/xen")

# Files that an editor, a merge or a build leaves beside ours. Most hidden files are such, too.
LITTER = ("~", ".o", ".ko", ".mod", ".orig", ".rej")
HIDDEN_BUT_OURS = (".kunitconfig",)


class State(enum.Enum):
    """State of the overlay in a tree; the value completes a sentence about the tree."""
    ABSENT = "carries no overlay"
    CURRENT = "carries the overlay as it is now"
    OUTDATED = "carries another state of the overlay; these differ:"


class Entry(TypedDict):
    """One file in the manifest: the hashes of its contents that are ours, and whether the tree had
    a file of that name before."""
    hashes: list[str]
    replaced: bool


Manifest: TypeAlias = dict[str, Entry]


@dataclass(frozen=True)
class Hook:
    """A line of ours in a file of the kernel. It goes in before the last line that equals `before`,
    or at the end, and only if `needs` is in the overlay."""
    file: str
    line: str
    before: str | None
    needs: str


HOOKS = (
    Hook("drivers/xen/Kconfig", 'source "drivers/xen/gntdev/Kconfig"\n', "endmenu\n",
         "drivers/xen/gntdev/Kconfig"),
    Hook("drivers/xen/Kconfig", 'source "drivers/xen/events/Kconfig"\n', "endmenu\n",
         "drivers/xen/events/Kconfig"),
    Hook("drivers/xen/Makefile", "obj-y\t+= gntdev/\n", None, "drivers/xen/gntdev/Makefile"),
    Hook("drivers/xen/events/Makefile", "include $(src)/Makefile.fifo_rust\n", None,
         "drivers/xen/events/Makefile.fifo_rust"),
)


@dataclass(frozen=True)
class Addition:
    """Code that a kernel for tests needs beyond the overlay: the files below `folder` of the
    repository, which go to the same places in the tree, and lines in files of the kernel."""
    folder: str
    hooks: tuple[Hook, ...]


NOTHING = Addition("", ())

FOLDER_OF_STATE = pathlib.PurePath(".xen-rust-overlay")


class Overlay:
    """The overlay of one kernel tree, with an addition for tests if there is one."""

    def __init__(self, tree: str | pathlib.Path, repository: str | pathlib.Path = REPOSITORY,
                 addition: Addition = NOTHING) -> None:
        self.tree = pathlib.Path(tree).absolute()
        self.repository = pathlib.Path(repository)
        self.addition = addition
        self.manifest_file = self.tree / FOLDER_OF_STATE / "manifest.json"
        self.hooks_file = self.tree / FOLDER_OF_STATE / "hooks.json"
        self.originals = self.tree / FOLDER_OF_STATE / "original"
        kernel_source.version(self.tree)

    def require_supported(self) -> None:
        """Stop at a tree of a series that the overlay was not written for."""
        series = kernel_source.series(self.tree)
        if series not in kernel_source.SUPPORTED_SERIES:
            raise Failure(f"{self.tree} is a kernel of series {series}; this overlay supports "
                          f"{' and '.join(kernel_source.SUPPORTED_SERIES)}")

    def digest(self) -> str:
        """Hash of all that the last apply() put into the tree."""
        return _hash(self.manifest_file.read_bytes() + self.hooks_file.read_bytes())

    def status(self) -> tuple[State, list[str]]:
        """State of the overlay, and the paths that differ if it is outdated."""
        manifest = self._read_manifest()
        if not manifest:
            return State.ABSENT, []
        wanted = self._wanted()
        differing = [path for path, content in wanted.items()
                     if self._read(path) != content]
        differing += [path for path in manifest if path not in wanted]
        hooks = self._hooks(wanted)
        differing += [hook.file for hook in hooks if not self._is_hooked(hook)]
        differing += [hook.file for hook in self._recorded_hooks()
                      if hook not in hooks and self._is_hooked(hook)]
        return (State.OUTDATED, differing) if differing else (State.CURRENT, [])

    def apply(self) -> int:
        """Make the tree carry the overlay as it is now; return how many files were written."""
        wanted = self._wanted()
        before = self._read_manifest()
        self._refuse_foreign_changes(before, wanted)
        self._write_manifest(self._save_originals(before, wanted))
        written = 0
        for path, content in wanted.items():
            # Equal content keeps its time stamp, so that kbuild has nothing to rebuild.
            if self._read(path) != content:
                _write(self.tree / path, content)
                written += 1
        for path in before:
            if path not in wanted:
                self._take_out(path, before[path])
                written += 1
        hooks = self._hooks(wanted)
        for hook in self._recorded_hooks():
            if hook not in hooks:
                self._unhook(hook)
        self._write_hooks(hooks)
        for hook in hooks:
            self._hook(hook)
        self._write_manifest({path: _entry(content, (self.originals / path).exists())
                              for path, content in wanted.items()})
        return written

    def remove(self) -> int:
        """Take the overlay out again; return how many files were taken out or restored."""
        manifest = self._read_manifest()
        self._refuse_foreign_changes(manifest, {})
        for hook in self._recorded_hooks():
            self._unhook(hook)
        for path, entry in manifest.items():
            self._take_out(path, entry)
        shutil.rmtree(self.tree / FOLDER_OF_STATE, ignore_errors=True)
        return len(manifest)

    def _wanted(self) -> dict[str, bytes]:
        """Map each path of the overlay to its content, in a fixed order."""
        found = {}
        for folder in FOLDERS:
            found.update(_files(self.repository / folder, self.repository))
        if self.addition.folder:
            added = self.repository / self.addition.folder
            found.update(_files(added, added))
        return found

    def _all_hooks(self) -> tuple[Hook, ...]:
        return HOOKS + self.addition.hooks

    def _read(self, path: str) -> bytes | None:
        try:
            return (self.tree / path).read_bytes()
        except FileNotFoundError:
            return None

    def _read_manifest(self) -> Manifest:
        manifest: Manifest = _read_json(self.manifest_file) or {}
        return manifest

    def _write_manifest(self, manifest: Manifest) -> None:
        _write_json(self.manifest_file, manifest)

    def _recorded_hooks(self) -> list[Hook]:
        """Hooks whose lines may be in the tree."""
        recorded = _read_json(self.hooks_file)
        # A tree that an older state of these scripts has written to has no record.
        return list(HOOKS) if recorded is None else [Hook(**fields) for fields in recorded]

    def _write_hooks(self, hooks: list[Hook]) -> None:
        _write_json(self.hooks_file, [dataclasses.asdict(hook) for hook in hooks])

    def _refuse_foreign_changes(self, manifest: Manifest, wanted: Mapping[str, bytes]) -> None:
        """Stop if files of the overlay were edited in the tree: the edits would be lost."""
        for path, entry in manifest.items():
            content = self._read(path)
            if content is None or content == wanted.get(path):
                continue
            known = set(entry["hashes"])
            if entry["replaced"]:
                known.add(_hash((self.originals / path).read_bytes()))
            if _hash(content) not in known:
                raise Failure(f"{self.tree / path} was changed after the overlay put it there; "
                              f"carry the change over to {self.repository / path} or delete the "
                              "file, then run this again")

    def _save_originals(self, before: Manifest, wanted: Mapping[str, bytes]) -> Manifest:
        """Keep the kernel's own version of files that we replace; return the manifest to be."""
        manifest = dict(before)
        for path, content in wanted.items():
            if path in before:
                hashes = sorted({*before[path]["hashes"], _hash(content)})
                manifest[path] = {"hashes": hashes, "replaced": before[path]["replaced"]}
                continue
            replaced = (self.tree / path).exists()
            if replaced:
                saved = self.originals / path
                saved.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.tree / path, saved)
            manifest[path] = _entry(content, replaced)
        return manifest

    def _take_out(self, path: str, entry: Entry) -> None:
        target = self.tree / path
        if entry["replaced"]:
            saved = self.originals / path
            # Gone already if an interrupted run came this far.
            if saved.exists():
                os.replace(saved, target)
            return
        target.unlink(missing_ok=True)
        for folder in target.relative_to(self.tree).parents:
            try:
                (self.tree / folder).rmdir()
            except OSError:
                break

    def _hooks(self, wanted: Mapping[str, bytes]) -> list[Hook]:
        return [hook for hook in self._all_hooks() if hook.needs in wanted]

    def _is_hooked(self, hook: Hook) -> bool:
        return hook.line in self._hook_lines(hook)

    def _hook_lines(self, hook: Hook) -> list[str]:
        text = self._read(hook.file)
        if text is None:
            raise Failure(f"{self.tree} has no {hook.file}: not a whole kernel tree")
        return text.decode().splitlines(keepends=True)

    def _hook(self, hook: Hook) -> None:
        lines = self._hook_lines(hook)
        if hook.line in lines:
            return
        at = len(lines)
        if hook.before:
            if hook.before not in lines:
                raise Failure(f"{self.tree / hook.file} has no line '{hook.before.strip()}' to put "
                              f"'{hook.line.strip()}' before")
            at -= 1 + lines[::-1].index(hook.before)
        lines.insert(at, hook.line)
        _write(self.tree / hook.file, "".join(lines).encode())

    def _unhook(self, hook: Hook) -> None:
        lines = self._hook_lines(hook)
        if hook.line in lines:
            lines.remove(hook.line)
            _write(self.tree / hook.file, "".join(lines).encode())


def _files(folder: pathlib.Path, top: pathlib.Path) -> dict[str, bytes]:
    """Map the paths of the files in FOLDER, as seen from TOP, to their content."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "__pycache__")
        for name in sorted(files):
            hidden = name[0] == "." and name not in HIDDEN_BUT_OURS
            if not hidden and not name.endswith(LITTER):
                file = pathlib.Path(place, name)
                found[str(file.relative_to(top))] = file.read_bytes()
    return found


def _entry(content: bytes, replaced: bool) -> Entry:
    return {"hashes": [_hash(content)], "replaced": replaced}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_json(path: pathlib.Path) -> Any:
    """Content of a file that _write_json() wrote, or None if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _write_json(path: pathlib.Path, content: object) -> None:
    _write(path, (json.dumps(content, indent=1) + "\n").encode())


def _write(path: pathlib.Path, content: bytes) -> None:
    """Write a file so that it is never seen half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    if path.exists():
        shutil.copymode(path, partial)
    os.replace(partial, path)
