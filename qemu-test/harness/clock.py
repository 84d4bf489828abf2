# SPDX-License-Identifier: GPL-2.0
"""A clock that stops while a process waits for a processor of the host.

A limit in seconds of the host ends suites that are fine when the host is busy with other work. A
limit in CPU seconds never ends a process that hangs and idles. The clock here joins both: it goes
on like the host's, less the time that the slowest thread of the processes was runnable and had no
processor. For a thread that never waits (an idle one, or any on a quiet host) it is the host's
clock; for a thread that gets a third of a processor it goes at a third of the speed.

Linux counts that waiting for each thread in /proc/PID/task/TID/schedstat, whose second number is
nanoseconds. The longest wait of all threads counts, not the sum: with the sum, two threads that
spin on one processor would stop the clock. A floor keeps the clock going in any case, so that
nothing lasts for ever. Linux adds a wait when it ends, which may be many looks later: the part of
it that the time since the last look cannot make up for is kept for the next ones.
"""

import pathlib
import time
from collections.abc import Callable

# Least speed of the clock, as a part of the host's.
FLOOR = 1 / 20
# Host seconds between two looks at /proc.
INTERVAL = 1.0

PROC = pathlib.Path("/proc")

# Nanoseconds that each thread has waited for a processor so far, by the thread's id.
Waits = dict[int, int]


class Clock:
    """Seconds since the start in which no thread was kept waiting for a processor.

    WAITS returns the waits of the threads, NOW the host's seconds.
    """

    def __init__(self, waits: Callable[[], Waits],
                 now: Callable[[], float] = time.monotonic) -> None:
        self._waits = waits
        self._now = now
        self._seconds = 0.0
        # Seconds of waiting that the clock has not stood still for yet.
        self._owed = 0.0
        self._looked = now()
        self._before: Waits = {}

    def seconds(self) -> float:
        """The time by this clock. Between two looks at the threads it stands still."""
        now = self._now()
        passed = now - self._looked
        if passed >= INTERVAL:
            waits = self._waits()
            self._owed += max((wait - self._before.get(thread, 0)
                               for thread, wait in waits.items()), default=0) / 1e9
            lost = min(self._owed, passed * (1 - FLOOR))
            self._owed -= lost
            self._seconds += passed - lost
            self._looked, self._before = now, waits
        return self._seconds


def waits_of_session(session: int) -> Waits:
    """The waits of all threads of the processes in SESSION, which is the id of its first one.

    Processes in a PID namespace of their own are found too: /proc shows the session by the id that
    it has in the namespace of the reader.
    """
    waits = {}
    for process in PROC.iterdir():
        if process.name.isdigit() and _session(process) == session:
            for task in _entries(process / "task"):
                wait = _wait(task)
                if wait is not None:
                    waits[int(task.name)] = wait
    return waits


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _session(process: pathlib.Path) -> int | None:
    try:
        stat = (process / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        # It has ended meanwhile.
        return None
    # The second field is the program's name in brackets, which may hold blanks and brackets.
    return int(stat.rpartition(")")[2].split()[3])


def _wait(task: pathlib.Path) -> int | None:
    try:
        return int((task / "schedstat").read_text(encoding="utf-8").split()[1])
    except (OSError, IndexError):
        return None
