# SPDX-License-Identifier: GPL-2.0
"""Jobs: the parts of suites that can run side by side, each in a process of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..results import SKIPPED, Test


class Reporter(Protocol):
    """Receiver of the news of a job while it runs. The results that count are those that the job
    returns."""

    def test(self, test: Test) -> None:
        """Show one result."""

    def note(self, text: str) -> None:
        """Show a text that belongs to the results."""

    def progress(self, text: str) -> None:
        """Show the person who waits that the job goes on."""


@dataclass(frozen=True)
class Need:
    """A build step that jobs wait for. It is done once in a run."""
    name: str
    ensure: Callable[[], object] = field(compare=False)
    # Steps that come before it.
    after: tuple["Need", ...] = ()


@dataclass(frozen=True)
class Load:
    """Share of the host that a job takes."""
    # Host threads that it keeps busy on average.
    threads: float = 1.0
    # In MiB.
    memory: int = 256
    # Time that the job takes by itself on two processors, about: the longest start first.
    seconds: float = 30.0


class Job(Protocol):
    """A part of a suite."""

    @property
    def title(self) -> str:
        """Name of the job among those of its suite; empty for the only one."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """Build steps that come before it."""

    @property
    def load(self) -> Load:
        """Share of the host that it takes."""

    def run(self, reporter: Reporter) -> list[Test]:
        """Run and return all results."""


@dataclass(frozen=True)
class FunctionJob:
    """A job that calls a function."""
    function: Callable[[Reporter], list[Test]]
    title: str = ""
    needs: tuple[Need, ...] = ()
    load: Load = Load()

    def run(self, reporter: Reporter) -> list[Test]:
        """Run and return all results."""
        return self.function(reporter)


@dataclass(frozen=True)
class SkippedJob:
    """A job that cannot run in this context, and the reason."""
    name: str
    reason: str
    title: str = ""
    needs: tuple[Need, ...] = ()
    load: Load = Load()

    def run(self, reporter: Reporter) -> list[Test]:
        """Return one result, a skip."""
        test = Test(self.name, SKIPPED, self.reason)
        reporter.test(test)
        return [test]
