# SPDX-License-Identifier: GPL-2.0
"""Long steps: their output goes to a log, a line now and then to the person who waits."""

import os
import re
import select
import signal
import subprocess
import sys
import time

from .failure import Failure

# Often enough to be seen alive, rarely enough to keep a CI log readable.
SECONDS_BETWEEN_LINES = 5 if sys.stderr.isatty() else 20

# What a compiler, modpost, make, cargo or apt complains with, and how much of it is worth showing.
COMPLAINT = re.compile(r"\berror\b(\[E\d+\])?:|^ERROR: |^E: |\*\*\* ")
LINES_OF_COMPLAINT = 12


def say(text):
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)


def duration(seconds):
    """Format a time span as a person says it."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


class Step:
    """One long command: follow() sees each line of its output and may return a new status text."""

    def __init__(self, title, log, timeout, follow=None):
        self.title = title
        self.log = log
        self.timeout = timeout
        self.follow = follow or (lambda line: None)

    def run(self, argv, failed):
        """Run ARGV; on failure raise FAILED, a text, completed by the log's path."""
        started = time.monotonic()
        said = None
        status = ""
        complaint = []
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log, subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True) as process:
            log.write(f"\n$ {' '.join(map(str, argv))}\n".encode())
            try:
                for line in self._lines(process.stdout, started):
                    if line is not None:
                        log.write(line)
                        log.flush()
                        text = line.decode(errors="replace").rstrip()
                        status = self.follow(text) or status
                        if complaint or COMPLAINT.search(text):
                            complaint.append(text)
                    now = time.monotonic()
                    if said is None and now - started >= 1:
                        # What is over at once is not worth a line.
                        said = now
                        say(f"{self.title}: started, log {self.log}")
                    elif said and now - said >= SECONDS_BETWEEN_LINES:
                        said = now
                        say(f"{self.title}: {status + ', ' if status else ''}"
                            f"{duration(now - started)}")
                code = process.wait()
            except BaseException:
                _kill_group(process)
                raise
        if code:
            for text in complaint[:LINES_OF_COMPLAINT]:
                say(f"  {text}")
            raise Failure(f"{failed} (exit status {code}); log {self.log}")
        if said:
            say(f"{self.title}: done in {duration(time.monotonic() - started)}")

    def _lines(self, stream, started):
        """Yield each line as it comes and None at every idle second."""
        pending = b""
        while True:
            if time.monotonic() - started > self.timeout:
                raise Failure(f"{self.title}: no end after {duration(self.timeout)}, gave up; "
                              f"log {self.log}")
            if not select.select([stream], [], [], 1)[0]:
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


def _kill_group(process):
    """End a command and what it started: first politely, so that it can end its own children."""
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
