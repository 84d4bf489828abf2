# SPDX-License-Identifier: GPL-2.0
"""Runs tasks side by side, as many as the host carries, the longest first."""

import contextlib
import enum
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Protocol

from ..results import Test
from .job import Load
from .resources import Resources
from .worker import Done, Message, Note, Progress, Work, Worker

# Host seconds between two calls of Listener.tick().
TICK = 0.5


class State(enum.Enum):
    """State of a task."""
    WAITING = enum.auto()
    RUNNING = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


@dataclass(eq=False)
class Task:
    """A piece of work: a job of a suite, or a build step."""
    title: str
    work: Work
    load: Load
    # Tasks that come before it.
    after: Sequence["Task"] = ()
    # Others wait for a build step: it goes first.
    is_build_step: bool = False
    state: State = State.WAITING
    started: float = 0.0
    seconds: float = 0.0
    tests: list[Test] = field(default_factory=list)
    # Reason why it could not run.
    failure: str = ""
    # Last text for the person who waits.
    progress: str = ""

    @property
    def has_ended(self) -> bool:
        """True when nothing more comes of it."""
        return self.state in (State.DONE, State.FAILED)


class Listener(Protocol):
    """Receiver of the news of all tasks."""

    def on_message(self, task: Task, message: Test | Note) -> None:
        """A result or a text of a task has come."""

    def on_end(self, task: Task) -> None:
        """A task has ended."""

    def tick(self, tasks: Sequence[Task]) -> None:
        """Some time has passed."""


class Scheduler:
    """Runs tasks in worker processes."""

    def __init__(self, resources: Resources, listener: Listener) -> None:
        self._resources = resources
        self._listener = listener
        self._workers: dict[Task, Worker] = {}

    def run(self, tasks: Sequence[Task]) -> None:
        """Run all TASKS to their ends. If that is interrupted, all that they started is ended."""
        with self._stopping():
            while not all(task.has_ended for task in tasks):
                self._fail_hopeless(tasks)
                self._start(tasks)
                self._read()
                self._listener.tick(tasks)

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        try:
            yield
        finally:
            for worker in self._workers.values():
                worker.ask_to_stop()
            for worker in self._workers.values():
                worker.stop()

    def _fail_hopeless(self, tasks: Sequence[Task]) -> None:
        """End the tasks that wait for one that could not run."""
        for task in tasks:
            broken = [other for other in task.after if other.state == State.FAILED]
            if task.state == State.WAITING and broken:
                self._end(task, Done([], broken[0].failure))

    def _start(self, tasks: Sequence[Task]) -> None:
        """Start the tasks that are ready and fit, in the order of their importance."""
        ready = [task for task in tasks if task.state == State.WAITING
                 and all(other.state == State.DONE for other in task.after)]
        for task in sorted(ready, key=lambda task: (not task.is_build_step, -task.load.seconds)):
            if self._resources.fits(task.load):
                self._resources.take(task.load)
                task.state, task.started = State.RUNNING, time.monotonic()
                self._workers[task] = Worker(task.work)

    def _read(self) -> None:
        """Take the messages that come within a tick."""
        tasks = {worker.connection: task for task, worker in self._workers.items()}
        for ready in connection.wait(list(tasks), TICK):
            for task in (tasks[one] for one in tasks if one is ready):
                self._take(task, self._workers[task].read())

    def _take(self, task: Task, message: Message) -> None:
        if isinstance(message, Progress):
            task.progress = message.text
        elif isinstance(message, Done):
            self._resources.give_back(task.load)
            del self._workers[task]
            self._end(task, message)
        else:
            self._listener.on_message(task, message)

    def _end(self, task: Task, done: Done) -> None:
        task.seconds = time.monotonic() - task.started if task.started else 0.0
        task.tests, task.failure = done.tests, done.failure or ""
        task.state = State.DONE if done.failure is None else State.FAILED
        self._listener.on_end(task)
