# SPDX-License-Identifier: GPL-2.0
"""Durations of jobs in earlier runs, by which the longest start first."""

import json
import os
import pathlib
from collections.abc import Mapping

from xenrust.cache import Cache

# Seconds of a job that never ran here.
UNKNOWN = 120.0


class Durations:
    """Seconds of jobs by their names, kept in the cache."""

    def __init__(self, cache: Cache) -> None:
        self._file = pathlib.Path(cache.root, "suite-seconds.json")
        try:
            self._seconds = {str(name): float(seconds) for name, seconds in
                             json.loads(self._file.read_text(encoding="utf-8")).items()}
        except (OSError, ValueError, AttributeError):
            # A first run, or a file that another version wrote.
            self._seconds = {}

    def expected(self, name: str) -> float:
        """Seconds that the job NAME is likely to take."""
        return self._seconds.get(name, UNKNOWN)

    def save(self, seconds: Mapping[str, float]) -> None:
        """Keep the SECONDS of this run."""
        self._seconds.update(seconds)
        partial = self._file.with_suffix(f".partial-{os.getpid()}")
        partial.write_text(json.dumps(self._seconds, indent=1, sort_keys=True), encoding="utf-8")
        partial.rename(self._file)
