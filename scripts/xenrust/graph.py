# SPDX-License-Identifier: GPL-2.0
"""Steps that depend on each other, run at the same time as far as their dependencies allow."""

import contextvars
import graphlib
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

from . import stopping

T = TypeVar("T")


class Node(Generic[T]):
    """One step: a function, called in a thread of its own after the steps that it depends on."""

    def __init__(self, action: Callable[[], T], *after: "Node[Any]") -> None:
        self.action = action
        self.after = after
        self._value: tuple[T] | None = None

    @property
    def value(self) -> T:
        """Value that the function returned. Only read by steps that depend on this one, and after
        run()."""
        if self._value is None:
            raise RuntimeError("the value of a step is read before the step has run")
        return self._value[0]

    def run(self) -> None:
        """Call the function and keep its value."""
        self._value = (self.action(),)


def run(nodes: Iterable[Node[Any]]) -> None:
    """Run NODES and the steps that they depend on.

    The first exception of a step is raised here, after the other steps have been asked to end and
    have done so. The same holds for an exception that a signal handler raises in the caller's
    thread, which runs no step itself.
    """
    sorter = _sorter(nodes)
    sorter.prepare()
    running: dict[Future[None], Node[Any]] = {}
    # Leaving the executor waits for its threads.
    with stopping.scope() as request, ThreadPoolExecutor(max_workers=64) as executor:
        try:
            while sorter.is_active():
                for node in sorter.get_ready():
                    context = contextvars.copy_context()
                    running[executor.submit(context.run, node.run)] = node
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    future.result()
                    sorter.done(running.pop(future))
        except BaseException:
            request.set()
            raise


def _sorter(nodes: Iterable[Node[Any]]) -> "graphlib.TopologicalSorter[Node[Any]]":
    """Order of NODES and of all steps that they depend on."""
    graph: dict[Node[Any], tuple[Node[Any], ...]] = {}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in graph:
            graph[node] = node.after
            waiting += node.after
    return graphlib.TopologicalSorter(graph)
