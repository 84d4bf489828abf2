# SPDX-License-Identifier: GPL-2.0
"""Tools of the build root that print what is in object files, as nm and objdump."""

import pathlib

from xenrust import build_root
from xenrust.cache import Cache
from xenrust.failure import Failure

from . import children, limits


def output(cache: Cache, *command: str | pathlib.Path, feed: str = "") -> str:
    """Output of COMMAND in the build root, which reads FEED and must succeed."""
    completed = children.run(build_root.command(cache, command, cwd="/"), limits.SHORT_COMMAND,
                             feed)
    if completed.status:
        raise Failure(f"'{command[0]}' ended with status {completed.status}: {completed.text}")
    return completed.text
