# SPDX-License-Identifier: GPL-2.0
"""Builds the programs that run in the guests."""

from . import build_root
from .cache import REPOSITORY
from .progress import Step

PROGRAMS = REPOSITORY / "qemu-test" / "programs"


def ensure(cache):
    """Build the guest programs and return the folder that holds them."""
    build_root.ensure(cache)
    with cache.lock("guest"):
        cargo(cache, "guest programs", ["build", "--release"],
              failed="the guest programs do not build")
    return cache.target / "release"


def cargo(cache, title, arguments, failed):
    """Run cargo on the guest programs as a logged step, with the committed versions of crates."""
    log = cache.log / "guest.log"
    log.unlink(missing_ok=True)
    step = Step(title, log, timeout=1800, follow=_compiling)
    build_root.run_logged(cache, step, ["cargo", arguments[0], "--locked", *arguments[1:]],
                          failed=failed, cwd=PROGRAMS)


def _compiling(line):
    words = line.split()
    return f"{words[0].lower()} {words[1]}" if words[1:] and words[0] in ("Compiling",
                                                                          "Downloaded") else None
