# SPDX-License-Identifier: GPL-2.0
"""One emulated machine from its start to its end.

The first serial port carries the logs of Xen and of dom0's kernel, and in the kernel's log the
lines by which the guest's init talks to us: "WORD step|says|run|exit|failed ...;", where WORD is
drawn anew for each boot. The second port is the command's alone, the third the domU's console.

The guest has the screen saved by "WORD screen NAME NUMBER;" and reads the answer on the second
port: "screen NAME NUMBER taken", or the reason why it was not.

A command that may be told to end reads the line "end" from the second port.

A machine that its guest suspends to RAM is woken up at once.
"""

import os
import pathlib
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from . import children, inspection, limits, monitor
from .architecture.base import Architecture, Port
from .boot_log import Source, Splitter, Writer
from .clock import Clock, waits_of_session
from .ending import RUN, START, MachineEnd, MachineRun
from .limits import BootLimits
from .monitor import Monitor
from .terminal import Terminal

# Host seconds for lines that explain the end of the machine, after the line that announces it.
LAST_WORDS = 2.0
# The same for the last lines of an init that gives up in a domU, or of an emulator that has ended.
FEW_WORDS = 0.2

# Host seconds for which output may be held up; short enough for a person who types.
PAUSE = 0.01

# Xen does not wait for the end of a line of dom0's before it begins one of its own.
XEN_MESSAGE = re.compile(r"(?<=.)(?=\(XEN\) )")

END_REQUEST = b"end\n"
SCREEN_REQUEST = re.compile(r"([\w-]+) \d+")

DEATH_OF_DOM0 = re.compile(r"\(XEN\) .*(Hardware Dom0 (crashed|shutdown|halted)|"
                           r"Manual reset required)"
                           r"|\(XEN\) Panic on CPU"
                           r"|Kernel panic - not syncing")
PANIC = re.compile(r"Kernel panic - not syncing", re.IGNORECASE)

# Names of the streams that are no port.
EMULATOR, KEYBOARD = "qemu", "keyboard"


@dataclass(frozen=True)
class Screen:
    """A picture of the screen, in two files of the emulator's."""
    ppm: pathlib.Path
    png: pathlib.Path


@dataclass
class Listeners:
    """Receivers of the news of a machine."""
    # Bytes that the command prints, as they come.
    output: Callable[[bytes], object] = lambda chunk: None
    # Name of each stage of the start.
    step: Callable[[str], object] = lambda text: None
    # Name of a picture, and its files, which are gone afterwards.
    screen: Callable[[str, Screen], object] = lambda name, screen: None
    # The person's terminal, to read from.
    terminal: Terminal | None = None
    # Line of the emulator's; True keeps it from the log.
    emulator: Callable[[str], bool] = lambda text: False
    # True when the command is to end.
    is_enough: Callable[[], bool] = lambda: False


@dataclass
class Machine:
    """One emulator process with its serial ports."""
    architecture: Architecture
    log: Writer
    # By which lines of the guest's init begin.
    word: str
    limits: BootLimits
    listeners: Listeners = field(default_factory=Listeners)
    # The death of any domain ends the machine, not only that of dom0.
    end_at_death: bool = False
    # The kernel's System.map, if it came with one: the stacks of a silent machine with a hypervisor
    # are looked at.
    symbols: pathlib.Path | None = None

    def __post_init__(self) -> None:
        self._control = re.compile(re.escape(self.word) + r" (\w+) ?(.*);$")
        # Answers to the guest's requests for a screen: None while there is none.
        self._screens: dict[str, str | None] = {}
        self._run = MachineRun()
        self._ended: float | None = None
        # By the clock: the last time that output came, and the next look at the processors.
        self._heard = self._next_look = 0.0
        # Number of lines in the log when a silent machine was asked for its stacks.
        self._asked: int | None = None
        self._xen_reads = False
        self._told_to_end = False

    def run(self, make_command: Callable[[pathlib.Path], list[str]]) -> MachineRun:
        """Start the command that MAKE_COMMAND returns for the folder of the ports, and follow it
        to its end."""
        with tempfile.TemporaryDirectory(prefix="xen-boot-") as folder:
            ports = pathlib.Path(folder)
            streams = {_make_port(ports / port): str(port) for port in Port}
            self._folder = ports
            self._keys = os.open(f"{ports / Port.RUN}.in", os.O_RDWR)
            self._console = os.open(f"{ports / Port.LOG}.in", os.O_RDWR | os.O_NONBLOCK)
            orders = os.open(f"{ports / Port.MONITOR}.in", os.O_RDWR)
            self._monitor = Monitor(lambda data: os.write(orders, data), self._monitor_event)
            self._watch = self.architecture.watch(
                self._monitor, lambda reason: self._end(MachineEnd.HALTED, reason, 0))
            started = time.monotonic()
            try:
                with children.running(make_command(ports)) as process:
                    self._follow(process, streams)
            finally:
                for stream in (*streams, self._keys, self._console, orders):
                    os.close(stream)
        self._run.seconds = time.monotonic() - started
        return self._run

    def _follow(self, process: subprocess.Popen[bytes], streams: dict[int, str]) -> None:
        assert process.stdout
        names = {**streams, process.stdout.fileno(): EMULATOR}
        self._splitters = {name: Splitter() for name in names.values()}
        if self.listeners.terminal:
            names[self.listeners.terminal.fileno()] = KEYBOARD
        self._clock = Clock(lambda: waits_of_session(process.pid))
        self._hear()
        while self._ended is None or time.monotonic() < self._ended:
            ready, _, _ = select.select(list(names), [], [], 0.25)
            if ready:
                # The emulator writes each byte by itself; reading them so would cost it a
                # processor.
                time.sleep(PAUSE)
            for stream in ready:
                self._read(stream, names)
            if self._ended is None:
                self._check(process)
        self._drain(names)

    def _check(self, process: subprocess.Popen[bytes]) -> None:
        """End the machine if the emulator has ended or a limit is passed, and the command if it is
        enough."""
        if not self._told_to_end and self.listeners.is_enough():
            os.write(self._keys, END_REQUEST)
            self._told_to_end = True
        now = self._clock.seconds()
        silence = now - self._heard
        if process.poll() is not None:
            self._end(MachineEnd.DIED, f"the emulator ended with status {process.returncode}",
                      FEW_WORDS)
        elif self.limits.total is not None and now > self.limits.total:
            self._end(MachineEnd.TIMEOUT, f"no end after {self.limits.total:g} s", 0)
        elif self._run.stage == START and silence > limits.SILENCE_BEFORE_INIT:
            self._end_hung(MachineEnd.SILENT, f"no word for {limits.SILENCE_BEFORE_INIT:g} s and "
                                              "init had not started")
        elif self.limits.silence is not None and silence > self.limits.silence:
            self._end_hung(MachineEnd.TIMEOUT, f"no word for {self.limits.silence:g} s")
        elif now > self._next_look:
            self._watch.look()
            self._look_at_stacks()
            self._next_look = now + limits.LOOK_INTERVAL

    def _look_at_stacks(self) -> None:
        if self.symbols is None:
            return
        if self._asked is None:
            self._asked = len(self.log.lines)
            self._type(inspection.XEN_STACKS)
        elif self.architecture.has_impossible_stack(self.log.lines[self._asked:], self.symbols):
            self._end(MachineEnd.HALTED, "dom0 took an interrupt that it had disabled", 0)

    def _read(self, stream: int, names: dict[int, str]) -> bool:
        try:
            chunk = os.read(stream, 65536)
        except BlockingIOError:
            return False
        name = names[stream]
        if not chunk:
            del names[stream]
            return False
        if name == KEYBOARD:
            if self.listeners.terminal and self.listeners.terminal.is_escape(chunk):
                self._end(MachineEnd.LEFT, "left by Ctrl-^", 0)
            else:
                os.write(self._keys, chunk)
            return True
        # After the question about the stacks, the lines of the log tell the signs of life.
        if name != Port.MONITOR and not (name == Port.LOG and self._asked is not None):
            self._hear()
        if name == Port.RUN:
            self._run.output += chunk
            self.listeners.output(chunk)
        for text in self._splitters[name].lines(chunk):
            for part in XEN_MESSAGE.split(text.rstrip("\r")):
                self._line(name, part)
        return True

    def _hear(self) -> None:
        self._heard = self._clock.seconds()
        self._next_look = self._heard + limits.SILENCE_BEFORE_LOOK
        self._asked = None
        self._watch.forget()

    def _drain(self, names: dict[int, str]) -> None:
        """Read all that has arrived already, and the unfinished last lines. A program that the
        command left behind may go on writing for ever."""
        deadline = time.monotonic() + LAST_WORDS
        for stream in [stream for stream, name in names.items()
                       if name not in (KEYBOARD, EMULATOR)]:
            while self._read(stream, names) and time.monotonic() < deadline:
                pass
        for name, splitter in self._splitters.items():
            for text in splitter.rest():
                self._line(name, text)

    def _line(self, name: str, text: str) -> None:
        if name == Port.LOG:
            self._log_line(text)
        elif name == Port.DOMU:
            self._domu_line(text)
        elif name == Port.MONITOR:
            self._monitor.read(text)
        elif name == Port.RUN:
            self.log.add(Source.RUN, text)
        elif not self.listeners.emulator(text):
            self.log.add(Source.QEMU, text)

    def _log_line(self, text: str) -> None:
        # A line of Xen may be part of its answer about the stacks.
        if self._asked is not None and not text.startswith("(XEN)"):
            self._hear()
        control = self._control.search(text)
        if control:
            self.log.add(Source.BOOT, f"{control[1]} {control[2]}")
            self._obey(control[1], control[2])
            return
        self.log.add(Source.XEN if text.startswith("(XEN)") else Source.DOM0, text)
        if DEATH_OF_DOM0.search(text) or self._is_death_of_any(text):
            self._end(MachineEnd.DIED, text.strip(), LAST_WORDS)

    def _domu_line(self, text: str) -> None:
        control = self._control.search(text)
        if control and control[1] == "failed":
            self._end(MachineEnd.FAILED, f"in the domU: {control[2]}", FEW_WORDS)
        self.log.add(Source.DOMU, f"{control[1]} {control[2]}" if control else text)
        if self._is_death_of_any(text):
            self._end(MachineEnd.DIED, f"the domU: {text.strip()}", LAST_WORDS)

    def _is_death_of_any(self, text: str) -> bool:
        return self.end_at_death and (PANIC.search(text) is not None
                                      or self.architecture.is_guest_fault(text))

    def _obey(self, word: str, text: str) -> None:
        if word in ("step", RUN):
            self._run.stage = text or word
            self.listeners.step(self._run.stage)
        elif word == "exit" and self._ended is None:
            self._run.status = int(text)
            self._end(MachineEnd.EXIT, f"the command ended with status {text}", 0)
        elif word == "failed":
            self._end(MachineEnd.FAILED, text, 0)
        elif word == "screen":
            self._take_screen(text)

    def _monitor_event(self, name: str) -> None:
        if name != monitor.SUSPEND:
            return
        self.log.add(Source.BOOT, "the machine is suspended to RAM: waking it up")

        def woken(error: str | None) -> None:
            if error is not None:
                self._end(MachineEnd.DIED, f"the suspended machine does not wake up: {error}",
                          LAST_WORDS)

        self._monitor.wake_up(woken)

    def _take_screen(self, request: str) -> None:
        """The guest repeats a request until it has an answer; the screen is taken once."""
        if request in self._screens:
            self._answer_guest(request)
            return
        name = SCREEN_REQUEST.fullmatch(request)
        if not name:
            return
        self._screens[request] = None
        stem = self._folder / request.replace(" ", "-")
        screen = Screen(stem.with_suffix(".ppm"), stem.with_suffix(".png"))

        def have_ppm(error: str | None) -> None:
            if error is None:
                self._monitor.take_screen(screen.png, "png", have_both)
            else:
                self._save_screen(request, name[1], screen, error)

        def have_both(error: str | None) -> None:
            self._save_screen(request, name[1], screen, error)

        self._monitor.take_screen(screen.ppm, "ppm", have_ppm)

    def _save_screen(self, request: str, name: str, screen: Screen, error: str | None) -> None:
        if error is None:
            try:
                self.listeners.screen(name, screen)
                screen.ppm.unlink()
                screen.png.unlink()
            except (OSError, ValueError) as failure:
                error = str(failure)
        answer = "taken" if error is None else " ".join(error.split())
        self._screens[request] = answer
        self.log.add(Source.BOOT, f"screen {request}: {answer}")
        self._answer_guest(request)

    def _answer_guest(self, request: str) -> None:
        if self._screens[request]:
            os.write(self._keys, f"screen {request} {self._screens[request]}\n".encode())

    def _end_hung(self, end: MachineEnd, reason: str) -> None:
        self.log.add(Source.BOOT, f"{reason}: asking the emulator and Xen for their state")
        inspection.ask(self._monitor, self._type, lambda line: self.log.add(Source.QEMU, line))
        self._end(end, reason, inspection.ANSWERS)

    def _type(self, keys: bytes) -> None:
        """Type KEYS on the hypervisor's console."""
        os.write(self._console, keys if self._xen_reads else inspection.XEN_READS + keys)
        self._xen_reads = True

    def _end(self, end: MachineEnd, reason: str, linger: float) -> None:
        if self._ended is None:
            self._run.end, self._run.reason = end, reason
            self._ended = time.monotonic() + linger


def _make_port(path: pathlib.Path) -> int:
    """Make the pair of pipes that the emulator wants for a port; return the end to read."""
    os.mkfifo(f"{path}.in")
    os.mkfifo(f"{path}.out")
    return os.open(f"{path}.out", os.O_RDONLY | os.O_NONBLOCK)
