# SPDX-License-Identifier: GPL-2.0
"""Builds the programs that run in the guests."""

import os
import pathlib
import re

from . import build_root
from .cache import REPOSITORY
from .progress import Step

PROGRAMS = REPOSITORY / "qemu-test" / "programs"
SAMPLES = REPOSITORY / "samples" / "xen"
EVENT_MODEL = REPOSITORY / "qemu-test" / "event-model"
# Cargo's workspaces, built into one folder. The last one has nothing but tests.
WORKSPACES = (PROGRAMS, SAMPLES, EVENT_MODEL)

# The tables of a cargo configuration that say how to reach the registry.
NETWORK_TABLE = re.compile(r"\[+ *(source|registry|registries|http|net)\b")


def ensure(cache):
    """Build the guest programs and return the folder that holds them."""
    build_root.ensure(cache)
    with cache.lock("guest"):
        cargo(cache, "guest programs", ["build", "--release"],
              failed="the guest programs do not build")
    return cache.target / "release"


def cargo(cache, title, arguments, failed):
    """Run cargo on the guest programs as a logged step, with the committed versions of crates."""
    cache.make_folders()
    (cache.cargo / "config.toml").write_text(host_network_settings(), encoding="utf-8")
    log = cache.log / "guest.log"
    log.unlink(missing_ok=True)
    for workspace in WORKSPACES:
        step = Step(title, log, timeout=1800, follow=_compiling)
        build_root.run_logged(cache, step, ["cargo", arguments[0], "--locked", *arguments[1:]],
                              failed=failed, cwd=workspace)


def host_network_settings():
    """Return what the host's own cargo is told about mirrors and proxies.

    Nothing else of that file may come along: linkers and targets are those of the build root.
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


def _compiling(line):
    words = line.split()
    if words[1:] and words[0] in ("Compiling", "Checking", "Downloaded"):
        return f"{words[0].lower()} {words[1]}"
    return None
