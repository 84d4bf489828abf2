# SPDX-License-Identifier: GPL-2.0
"""Early end of steps that run in threads: a thread asks, the others raise Stopped where they
wait."""

import contextlib
import contextvars
import threading
from collections.abc import Iterator

# Threads inherit no context: graph.run() copies its own into each of its threads.
_request: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar(
    "stop_request", default=None)


class Stopped(Exception):
    """End of a step because another one failed or the run was interrupted. It is never printed: the
    thread that requested the end reports the cause."""


@contextlib.contextmanager
def scope() -> Iterator[threading.Event]:
    """Event whose setting ends the steps that run in this context and in copies of it."""
    request = threading.Event()
    token = _request.set(request)
    try:
        yield request
    finally:
        _request.reset(token)


def check() -> None:
    """Raise Stopped if the end of this context's steps was asked for."""
    request = _request.get()
    if request and request.is_set():
        raise Stopped


def wait(seconds: float) -> None:
    """Sleep; raise Stopped as soon as the end of this context's steps is asked for."""
    (_request.get() or threading.Event()).wait(seconds)
    check()
