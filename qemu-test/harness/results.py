# SPDX-License-Identifier: GPL-2.0
"""The result of one test."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Outcome(enum.StrEnum):
    """Outcome of one test."""
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


PASSED, FAILED, SKIPPED = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED


@dataclass
class Test:
    """The result of one test."""
    name: str
    outcome: Outcome
    # Reason of a failure or a skip, if the test gives one, or further words of one that passed.
    reason: str = ""
    seconds: float | None = None


def check(name: str, good: object, reason: str) -> Test:
    """A test that passes if GOOD is true, else it fails for REASON."""
    return Test(name, PASSED) if good else Test(name, FAILED, reason)


def has_failed(tests: Iterable[Test]) -> bool:
    """True if any of the TESTS failed."""
    return any(test.outcome == FAILED for test in tests)


def count(tests: Iterable[Test]) -> dict[Outcome, int]:
    """Number of TESTS of each outcome."""
    outcomes = [test.outcome for test in tests]
    return {outcome: outcomes.count(outcome) for outcome in Outcome}
