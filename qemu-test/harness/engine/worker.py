# SPDX-License-Identifier: GPL-2.0
"""Processes in which jobs run.

Jobs run in processes, not in threads: a signal raises in the job itself, so that it ends its
children and removes its temporary files as a program of its own would; and the kernel's "parent
death" signals go by threads, which may end before their process. A worker ends when its parent
does, however that ends.
"""

import contextlib
import ctypes
import io
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from xenrust.failure import Failure, exit_at_signals

from ..results import Test
from .job import Reporter

PR_SET_PDEATHSIG = 1

# Host seconds for a worker to end its children; a busy host takes long.
LAST_SECONDS = 120.0

# A child of fork() has the job with all that it refers to.
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Note:
    """A text that belongs to the results."""
    text: str


@dataclass(frozen=True)
class Progress:
    """A text for the person who waits."""
    text: str


@dataclass(frozen=True)
class Done:
    """All results of a job, or the reason why it could not run."""
    tests: list[Test]
    failure: str | None = None


Message = Test | Note | Progress | Done
Work = Callable[[Reporter], list[Test]]


class Worker:
    """A process that does one piece of work."""

    def __init__(self, work: Work) -> None:
        self.connection, far = FORK.Pipe(duplex=False)
        self._process = FORK.Process(target=_main, args=(work, far, os.getpid()), daemon=True)
        self._process.start()
        far.close()

    def read(self) -> Message:
        """The next message. A worker that ends without a last word is done by that."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, OSError):
            # Its end may come in the middle of a message.
            self._process.join()
            message = Done([], f"its process ended with status {self._process.exitcode}")
        if isinstance(message, Done):
            self._process.join(LAST_SECONDS)
            self.stop()
        return message

    def ask_to_stop(self) -> None:
        """Have the work end its children and itself."""
        if self._process.is_alive():
            self._process.terminate()

    def stop(self) -> None:
        """Wait for the end of the process, or bring it about."""
        self.ask_to_stop()
        self._process.join(LAST_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.connection.close()


class _PipeReporter:
    """Sends the news of a job to the process that shows them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def test(self, test: Test) -> None:
        """Send one result."""
        self._connection.send(test)

    def note(self, text: str) -> None:
        """Send a text that belongs to the results."""
        self._connection.send(Note(text))

    def progress(self, text: str) -> None:
        """Send a text for the person who waits."""
        self._connection.send(Progress(text))


class _ProgressStream(io.StringIO):
    """Standard error of a job: the build steps print their progress there."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter
        self._partial = ""

    def write(self, text: str) -> int:
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            if line.strip():
                self._reporter.progress(line.strip())
        return len(text)


def _main(work: Work, connection: Connection, parent: int) -> None:
    _end_with(parent)
    # Ctrl-C reaches the parent alone, which ends the workers one by one.
    os.setpgid(0, 0)
    exit_at_signals()
    reporter = _PipeReporter(connection)
    with contextlib.redirect_stderr(_ProgressStream(reporter)):
        try:
            done = Done(work(reporter))
        except (Failure, OSError, ValueError) as failure:
            done = Done([], str(failure) or repr(failure))
        except Exception:
            # An error of the harness is a failure of this job, and of no other.
            done = Done([], traceback.format_exc())
    connection.send(done)


def _end_with(parent: int) -> None:
    """Have the kernel send this process SIGTERM when PARENT ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
