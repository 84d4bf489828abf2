# SPDX-License-Identifier: GPL-2.0
"""Child processes on the host, which end with the process that started them, also if it crashes."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xenrust.failure import Failure

from .clock import Clock, waits_of_session

# Seconds for a command to end its own children when it is asked to end.
LAST_SECONDS = 5.0


def command(argv: Sequence[object]) -> list[str]:
    """ARGV such that the kernel kills its process when the one that starts it ends."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)]


# A kernel with CONFIG_SCHED_AUTOGROUP shares the processors among sessions first, and then among
# the processes of each session: the session gets the lowest weight, too.
LAST_IN_TURN = """
echo 19 2>/dev/null >/proc/self/autogroup
exec chrt --idle 0 "$@"
"""


def in_background(argv: Sequence[str]) -> list[str]:
    """ARGV such that it takes only the processor time that others in its control group leave. It is
    to be the first process of its session."""
    return ["sh", "-c", LAST_IN_TURN, "sh", *argv]


@contextlib.contextmanager
def running(argv: Sequence[object], stdin: int | None = subprocess.DEVNULL
            ) -> Iterator[subprocess.Popen[bytes]]:
    """ARGV as a process in a session of its own, with its output in a pipe. Leaving the context
    ends it and all of its session."""
    process = subprocess.Popen(command(argv), stdin=stdin, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield process
    finally:
        kill_session(process)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """End PROCESS, the first one of a session, and the rest of its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass(frozen=True)
class Completed:
    """A command that has ended."""
    status: int
    # Standard output and standard error.
    output: bytes

    @property
    def text(self) -> str:
        """The output as text."""
        return self.output.decode(errors="replace")


def run(argv: Sequence[object], limit: float, feed: str = "",
        on_line: Callable[[str], None] = lambda line: None) -> Completed:
    """Run ARGV, which reads FEED, and return its output. ON_LINE gets each line as it comes.
    Raises Failure after LIMIT seconds of a `clock.Clock`."""
    with running(argv, stdin=subprocess.PIPE) as process, selectors.DefaultSelector() as selector:
        clock = Clock(lambda: waits_of_session(process.pid))
        assert process.stdin and process.stdout
        waiting = feed.encode()
        os.set_blocking(process.stdin.fileno(), False)
        if waiting:
            selector.register(process.stdin, selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        selector.register(process.stdout, selectors.EVENT_READ)
        output, shown = b"", 0
        while selector.get_map():
            if clock.seconds() > limit:
                raise Failure(f"'{' '.join(map(str, argv[-4:]))}': no end after {limit:g} s")
            for key, _ in selector.select(0.25):
                if key.fileobj is process.stdin:
                    waiting = _write(process.stdin.fileno(), waiting)
                    if not waiting:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                chunk = os.read(process.stdout.fileno(), 65536)
                output += chunk
                if not chunk:
                    selector.unregister(process.stdout)
                end = output.rfind(b"\n") + 1 if chunk else len(output)
                for line in output[shown:end].decode(errors="replace").splitlines():
                    on_line(line)
                shown = max(shown, end)
        return Completed(_wait(process), output)


def _write(stream: int, data: bytes) -> bytes:
    """Write as much of DATA as the pipe takes; return the rest, which is empty if the reader has
    gone."""
    try:
        return data[os.write(stream, data):]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Exit status of a process that has closed its output; -SIGKILL if it has not ended within
    LAST_SECONDS."""
    deadline = time.monotonic() + LAST_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.returncode if process.returncode is not None else -signal.SIGKILL
