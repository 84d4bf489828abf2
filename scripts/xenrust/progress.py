# SPDX-License-Identifier: GPL-2.0
"""Long steps: their output goes to a log, one line of progress each to the person who waits."""

import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TypeAlias

from . import stopping
from .failure import Failure

# A command and its arguments.
Arguments: TypeAlias = Sequence[str | pathlib.Path]

# Rare enough to keep a CI log readable. A terminal has a line that changes.
SECONDS_BETWEEN_LINES = 20
SECONDS_BETWEEN_CHANGES = 1

# Complaints of a compiler, modpost, make, cargo or apt, and the number of their lines to show.
COMPLAINT = re.compile(r"\berror\b(\[E\d+\])?:|^ERROR: |^E: |\*\*\* ")
LINES_OF_COMPLAINT = 12


class Screen:
    """Standard error: lines that stay and, on a terminal, one line below them for each step that
    runs. Threads may use it at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[object, str] = {}
        self._drawn = 0

    def say(self, text: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._draw(f"{text}\n")

    def show(self, step: object, text: str) -> None:
        """Make TEXT the line of a running step; only a terminal has such lines."""
        with self._lock:
            if sys.stderr.isatty():
                self._running[step] = text
                self._draw()

    def remove(self, step: object) -> None:
        """Take the line of a step away."""
        with self._lock:
            if self._running.pop(step, None) is not None:
                self._draw()

    def _draw(self, text: str = "") -> None:
        width = shutil.get_terminal_size().columns - 1
        lines = "".join(f"{line[:width]}\n" for line in self._running.values())
        # Back to the first of the lines drawn last, and clear all from there.
        back = f"\033[{self._drawn}F\033[J" if self._drawn else ""
        self._drawn = len(self._running)
        sys.stderr.write(back + text + lines)
        sys.stderr.flush()


SCREEN = Screen()


def say(text: str) -> None:
    """Print one line of progress."""
    SCREEN.say(text)


def duration(seconds: float) -> str:
    """Text of a time span, as in 1m05s."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


class Step:
    """One long command. FOLLOW gets each line of its output and may return a new status text;
    TIMEOUT is in seconds."""

    def __init__(self, title: str, log: pathlib.Path, timeout: float,
                 follow: Callable[[str], str | None] | None = None) -> None:
        self.title = title
        self.log = log
        self.timeout = timeout
        self.follow = follow

    def run(self, argv: Arguments, failed: str) -> None:
        """Run ARGV; on failure raise FAILED, a text, completed by the log's path."""
        report = _Report(self.title, self.log)
        complaint: list[str] = []
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log, subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True) as process:
            log.write(f"\n$ {' '.join(map(str, argv))}\n".encode())
            assert process.stdout
            try:
                for line in self._lines(process.stdout):
                    if line is not None:
                        log.write(line)
                        log.flush()
                        text = line.decode(errors="replace").rstrip()
                        if self.follow:
                            report.status = self.follow(text) or report.status
                        if complaint or COMPLAINT.search(text):
                            complaint.append(text)
                    report.update()
                code = process.wait()
            except BaseException:
                _kill_group(process)
                raise
            finally:
                report.end()
        if code:
            for text in complaint[:LINES_OF_COMPLAINT]:
                say(f"  {text}")
            raise Failure(f"{failed} (exit status {code}); log {self.log}")
        report.say_done()

    def _lines(self, stream: IO[bytes]) -> Iterator[bytes | None]:
        """Each line as it comes, and None several times a second if there is none."""
        started = time.monotonic()
        pending = b""
        while True:
            stopping.check()
            if time.monotonic() - started > self.timeout:
                raise Failure(f"{self.title}: no end after {duration(self.timeout)}, gave up; "
                              f"log {self.log}")
            if not select.select([stream], [], [], 0.3)[0]:
                yield None
                continue
            chunk = os.read(stream.fileno(), 65536)
            if not chunk:
                break
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                yield line + b"\n"
        if pending:
            yield pending + b"\n"


class _Report:
    """Lines of progress of one step. A step of less than a second has none."""

    def __init__(self, title: str, log: pathlib.Path) -> None:
        self.status = ""
        self._title = title
        self._log = log
        self._started = time.monotonic()
        self._said: float | None = None
        self._shown = self._started

    def update(self) -> None:
        """Print the lines that are due."""
        now = time.monotonic()
        if now - self._shown >= SECONDS_BETWEEN_CHANGES:
            self._shown = now
            SCREEN.show(self, self._text(now))
        if self._said is None:
            if now - self._started >= 1:
                self._said = now
                if not sys.stderr.isatty():
                    say(f"{self._title}: started, log {self._log}")
        elif now - self._said >= SECONDS_BETWEEN_LINES:
            self._said = now
            if not sys.stderr.isatty():
                say(self._text(now))

    def end(self) -> None:
        """Remove the step's line from the terminal."""
        SCREEN.remove(self)

    def say_done(self) -> None:
        """Print the time that a good step took."""
        if self._said:
            say(f"{self._title}: done in {duration(time.monotonic() - self._started)}")

    def _text(self, now: float) -> str:
        status = f"{self.status}, " if self.status else ""
        return f"{self._title}: {status}{duration(now - self._started)}"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a command and its children: by SIGTERM first, so that it can end them itself."""
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
