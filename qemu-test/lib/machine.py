# SPDX-License-Identifier: GPL-2.0
"""Runs one emulated machine from start to end and notes what happened.

The first serial port carries the logs of Xen and of dom0's kernel, and in the kernel's log the
lines by which the guest's init talks to us: "WORD step|says|run|exit|failed ...;", where WORD is
drawn anew for each boot. The second port is the command's alone, the third the domU's console.

The guest has the screen saved by "WORD screen NAME NUMBER;" and reads the answer on the second
port: "screen NAME NUMBER taken", or what went wrong.
"""

import ctypes
import os
import pathlib
import re
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

import qemu_command
from boot_log import Splitter
from halted_processor import Watch
from monitor import Monitor

# No output for so long before init starts: the machine hangs. On a machine with time to spare
# nothing there takes more than six seconds; on one that is busy, many times that.
SILENCE_BEFORE_INIT = 150
# No output for so long: the processors are looked at, and again after each interval.
SILENCE_BEFORE_LOOK = 60
LOOK_INTERVAL = 5
# After the line that announces the end of the machine, time for the lines that explain it.
LAST_WORDS = 2.0

# How long output may be held up; short enough for a person who types.
PAUSE = 0.01

# Xen does not wait for the end of a line of dom0's before it begins one of its own.
XEN_MESSAGE = re.compile(r"(?<=.)(?=\(XEN\) )")

SCREEN_REQUEST = re.compile(r"([\w-]+) \d+")

DEATH = re.compile(r"\(XEN\) .*(Hardware Dom0 (crashed|shutdown|halted)|Manual reset required)"
                   r"|\(XEN\) Panic on CPU"
                   r"|Kernel panic - not syncing")


@dataclass
class Outcome:
    """What one run of the machine came to."""
    # "exit": the command ended; "left": the person left the shell; "failed": init gave up;
    # "timeout"; "silent": no word before init; "halted": the emulator forgot a processor; "died":
    # the machine or the emulator ended by itself.
    end: str = "died"
    status: int = 0
    reason: str = ""
    stage: str = "start"
    output: bytearray = field(default_factory=bytearray)
    seconds: float = 0.0


class Machine:
    """One emulator process with its serial ports."""

    def __init__(self, log, word, on_output, on_step, terminal=None, on_screen=None,
                 also_death=None):
        """ON_SCREEN gets the name of a picture of the screen and the bytes of a PPM file.
        ALSO_DEATH is a pattern of further lines, of any domain, that end the machine."""
        self._log = log
        self._control = re.compile(re.escape(word) + r" (\w+) ?(.*);$")
        self._on_output = on_output
        self._on_step = on_step
        self._terminal = terminal
        self._also_death = also_death
        self._on_screen = on_screen
        # What the guest was told about its requests: None while there is no answer.
        self._screens = {}
        self._outcome = Outcome()
        self._ended = None

    def run(self, make_command, timeout):
        """Start the command that make_command(folder of the ports) returns and follow it."""
        with tempfile.TemporaryDirectory(prefix="xen-boot-") as folder:
            ports = pathlib.Path(folder)
            streams = {name: _make_port(ports / name) for name in qemu_command.PORTS}
            self._folder = ports
            self._keys = os.open(f"{ports / qemu_command.RUN_PORT}.in", os.O_RDWR)
            orders = os.open(f"{ports / qemu_command.MONITOR_PORT}.in", os.O_RDWR)
            self._monitor = Monitor(lambda data: os.write(orders, data))
            self._watch = Watch(self._monitor, lambda reason: self._end("halted", reason, 0))
            process = subprocess.Popen(
                make_command(ports), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_die_with_parent)
            started = time.monotonic()
            try:
                self._follow(process, streams, started, timeout)
            finally:
                process.kill()
                process.wait()
                for stream in (*streams.values(), self._keys, orders):
                    os.close(stream)
                process.stdout.close()
        self._outcome.seconds = time.monotonic() - started
        return self._outcome

    def _follow(self, process, streams, started, timeout):
        names = {stream: name for name, stream in streams.items()}
        names[process.stdout.fileno()] = "qemu"
        self._splitters = {name: Splitter() for name in names.values()}
        if self._terminal:
            names[self._terminal.fileno()] = "keyboard"
        self._hear(started)
        while self._ended is None or time.monotonic() < self._ended:
            ready, _, _ = select.select(list(names), [], [], 0.25)
            if ready:
                # The emulator writes each byte by itself; reading them so would cost it a
                # processor.
                time.sleep(PAUSE)
            for stream in ready:
                self._read(stream, names)
            now = time.monotonic()
            if self._ended is not None:
                continue
            if process.poll() is not None:
                self._end("died", f"the emulator ended with status {process.returncode}", 0.2)
            elif timeout and now - started > timeout:
                self._end("timeout", f"no end after {timeout:g} s", 0)
            elif self._outcome.stage == "start" and now - self._heard > SILENCE_BEFORE_INIT:
                self._end("silent", f"no word for {SILENCE_BEFORE_INIT} s and init had not "
                                    "started", 0)
            elif now > self._next_look:
                self._watch.look()
                self._next_look = now + LOOK_INTERVAL
        self._drain(names)

    def _read(self, stream, names):
        try:
            chunk = os.read(stream, 65536)
        except BlockingIOError:
            return False
        name = names[stream]
        if not chunk:
            del names[stream]
            return False
        if name == "keyboard":
            if self._terminal.is_escape(chunk):
                self._end("left", "left by Ctrl-^", 0)
            else:
                os.write(self._keys, chunk)
            return True
        if name != qemu_command.MONITOR_PORT:
            self._hear(time.monotonic())
        if name == qemu_command.RUN_PORT:
            self._outcome.output += chunk
            self._on_output(chunk)
        for text in self._splitters[name].lines(chunk):
            for part in XEN_MESSAGE.split(text.rstrip("\r")):
                self._line(name, part)
        return True

    def _hear(self, now):
        self._heard = now
        self._next_look = now + SILENCE_BEFORE_LOOK
        self._watch.forget()

    def _drain(self, names):
        """Read what has arrived already, and the unfinished last lines. A program that the
        command left behind may go on writing for ever."""
        deadline = time.monotonic() + LAST_WORDS
        for stream in [stream for stream, name in names.items()
                       if name not in ("keyboard", "qemu")]:
            while self._read(stream, names) and time.monotonic() < deadline:
                pass
        for name, splitter in self._splitters.items():
            for text in splitter.rest():
                self._line(name, text)

    def _line(self, name, text):
        if name == qemu_command.LOG_PORT:
            control = self._control.search(text)
            if control:
                self._log.add("boot", f"{control[1]} {control[2]}")
                self._obey(control[1], control[2])
                return
            self._log.add("xen" if text.startswith("(XEN)") else "dom0", text)
            if DEATH.search(text) or self._is_also_death(text):
                self._end("died", text.strip(), LAST_WORDS)
        elif name == qemu_command.DOMU_PORT:
            control = self._control.search(text)
            if control and control[1] == "failed":
                self._end("failed", f"in the domU: {control[2]}", 0.2)
            self._log.add("domU", f"{control[1]} {control[2]}" if control else text)
            if self._is_also_death(text):
                self._end("died", f"the domU: {text.strip()}", LAST_WORDS)
        elif name == qemu_command.MONITOR_PORT:
            self._monitor.read(text)
        else:
            self._log.add(name, text)

    def _is_also_death(self, text):
        return self._also_death is not None and self._also_death.search(text) is not None

    def _obey(self, word, text):
        outcome = self._outcome
        if word in ("step", "run"):
            outcome.stage = text or word
            self._on_step(outcome.stage)
        elif word == "exit" and self._ended is None:
            outcome.status = int(text)
            self._end("exit", f"the command ended with status {text}", 0)
        elif word == "failed":
            self._end("failed", text, 0)
        elif word == "screen":
            self._take_screen(text)

    def _take_screen(self, request):
        """The guest repeats a request until it has an answer; the screen is taken once."""
        if request in self._screens:
            self._answer_guest(request)
        elif SCREEN_REQUEST.fullmatch(request):
            self._screens[request] = None
            self._monitor.take_screen(self._screen_file(request),
                                      lambda error: self._save_screen(request, error))

    def _save_screen(self, request, error):
        if error is None:
            file = self._screen_file(request)
            try:
                self._on_screen(SCREEN_REQUEST.fullmatch(request)[1], file.read_bytes())
                file.unlink()
            except (OSError, ValueError) as failure:
                error = str(failure)
        self._screens[request] = "taken" if error is None else " ".join(error.split())
        self._log.add("boot", f"screen {request}: {self._screens[request]}")
        self._answer_guest(request)

    def _answer_guest(self, request):
        if self._screens[request]:
            os.write(self._keys, f"screen {request} {self._screens[request]}\n".encode())

    def _screen_file(self, request):
        return self._folder / f"{request.replace(' ', '-')}.ppm"

    def _end(self, end, reason, linger):
        if self._ended is None:
            self._outcome.end, self._outcome.reason = end, reason
            self._ended = time.monotonic() + linger


def _make_port(path):
    """Make the pair of pipes that the emulator wants for a port; return the end to read."""
    os.mkfifo(f"{path}.in")
    os.mkfifo(f"{path}.out")
    return os.open(f"{path}.out", os.O_RDONLY | os.O_NONBLOCK)


def _die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
