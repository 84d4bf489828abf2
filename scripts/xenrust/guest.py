# SPDX-License-Identifier: GPL-2.0
"""Build of the programs that run in the guests."""

import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from . import build_root, guest_root
from .cache import REPOSITORY, Cache
from .processor import Processor
from .progress import Step

# Cargo's workspaces, built into one folder: the library with the samples, and the programs and the
# event channels' model of the tests, which use the library.
LIBRARY = REPOSITORY / "tools" / "xen"
TEST_PROGRAMS = REPOSITORY / "qemu-test"
WORKSPACES = (LIBRARY, TEST_PROGRAMS)

# The tables of a cargo configuration that say how to reach the registry.
NETWORK_TABLE = re.compile(r"\[+ *(source|registry|registries|http|net)\b")


def ensure(cache: Cache, programs: Mapping[pathlib.Path, Sequence[str]] | None = None,
           processor: Processor = Processor.X86_64) -> pathlib.Path:
    """Folder of the programs for guests of PROCESSOR, which are built if need be: all of them, or
    those that PROGRAMS names for each workspace."""
    guest_root.ensure(cache, processor)
    wanted = {workspace: () for workspace in WORKSPACES} if programs is None else programs
    with cache.lock("guest"):
        _prepare(cache)
        for workspace, names in wanted.items():
            chosen = [word for name in names for word in ("--bin", name)]
            _run_cargo(cache, "programs", workspace,
                       ["build", "--release", *cross_options(cache, processor), *chosen],
                       failed="the guest programs do not build")
    return folder(cache, processor)


def folder(cache: Cache, processor: Processor) -> pathlib.Path:
    """Folder of the programs for guests of PROCESSOR, which need not be there yet."""
    target = cache.target if processor.is_native else cache.target / processor.names.rust
    return target / "release"


def cross_options(cache: Cache, processor: Processor) -> list[str]:
    """Options of cargo that build for PROCESSOR; none if it is this machine's."""
    if processor.is_native:
        return []
    names = processor.names
    packages = cache.packages_of(processor) / "usr/lib"
    libraries = packages / names.gnu
    flags = [f"-L{packages / 'rustlib' / names.rust / 'lib'}", f"-L{libraries}",
             # Libraries that the libraries need in turn.
             f"-Clink-arg=-Wl,-rpath-link={libraries}"]
    return ["--target", names.rust,
            "--config", f'target.{names.rust}.linker="{names.gnu}-gcc"',
            "--config", f"target.{names.rust}.rustflags={json.dumps(flags)}"]


def cargo(cache: Cache, title: str, arguments: Sequence[str], failed: str) -> None:
    """Run cargo on all workspaces as a logged step, with the committed versions of crates."""
    _prepare(cache)
    for workspace in WORKSPACES:
        _run_cargo(cache, title, workspace, arguments, failed)


def configure(cache: Cache) -> None:
    """Write cargo's configuration."""
    cache.make_folders()
    (cache.cargo / "config.toml").write_text(host_network_settings(), encoding="utf-8")


def _prepare(cache: Cache) -> None:
    """Write cargo's configuration and begin a new log."""
    configure(cache)
    _log(cache).unlink(missing_ok=True)


def _run_cargo(cache: Cache, title: str, workspace: pathlib.Path, arguments: Sequence[str],
               failed: str) -> None:
    step = Step(f"{title} in {workspace.relative_to(REPOSITORY)}", _log(cache), timeout=1800,
                follow=_compiling)
    build_root.run_logged(cache, step, ["cargo", arguments[0], "--locked", *arguments[1:]],
                          failed=failed, cwd=workspace)


def _log(cache: Cache) -> pathlib.Path:
    return cache.log / "guest.log"


def host_network_settings() -> str:
    """Settings of the host's own cargo for mirrors and proxies.

    Nothing else of that file may be used: linkers and targets are those of the build root.
    """
    home = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo")
    files = [home / name for name in ("config.toml", "config") if (home / name).is_file()]
    text = files[0].read_text(encoding="utf-8") if files else ""
    kept = []
    wanted = False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            wanted = bool(NETWORK_TABLE.match(line.lstrip()))
        if wanted:
            kept.append(line)
    return "".join(kept)


def _compiling(line: str) -> str | None:
    words = line.split()
    if words[1:] and words[0] in ("Compiling", "Checking", "Downloaded"):
        return f"{words[0].lower()} {words[1]}"
    return None
