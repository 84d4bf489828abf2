# SPDX-License-Identifier: GPL-2.0
"""The host's resources that jobs share."""

import os
import pathlib
import re
from dataclasses import dataclass

from .job import Load

MEMORY_INFORMATION = pathlib.Path("/proc/meminfo")
AVAILABLE = re.compile(r"^MemAvailable: +(\d+) kB$", re.M)
# Part of the available memory that jobs may take; the rest is for the page cache and others.
MEMORY_PART = 0.8


@dataclass
class Resources:
    """Host threads and memory (MiB) that jobs have left to take."""
    threads: float
    memory: int
    # Number of jobs that have taken their share.
    users: int = 0

    def fits(self, load: Load) -> bool:
        """True if a job of LOAD can start. One alone can, also if it wants more than there is."""
        return self.users == 0 or (load.threads <= self.threads and load.memory <= self.memory)

    def take(self, load: Load) -> None:
        """Give a job its share."""
        self.threads -= load.threads
        self.memory -= load.memory
        self.users += 1

    def give_back(self, load: Load) -> None:
        """Take a job's share back."""
        self.threads += load.threads
        self.memory += load.memory
        self.users -= 1


def of_host(jobs: int | None) -> Resources:
    """The host's resources, with JOBS threads; by default as many as it has processors."""
    return Resources(float(jobs or len(os.sched_getaffinity(0))),
                     int(available_memory(MEMORY_INFORMATION.read_text(encoding="ascii"))
                         * MEMORY_PART))


def available_memory(information: str) -> int:
    """MiB of memory that programs can still take, out of the text of /proc/meminfo."""
    found = AVAILABLE.search(information)
    if not found:
        raise ValueError("/proc/meminfo has no MemAvailable")
    return int(found[1]) // 1024
