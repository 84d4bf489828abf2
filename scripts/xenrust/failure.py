# SPDX-License-Identifier: GPL-2.0
"""End of a program: one line for the person at the terminal, and the exit status."""

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn


class Failure(Exception):
    """A step that cannot go on. The text names the cause, the log and the remedy."""


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Call main() and exit with its result, or with the status of its failure."""
    # A closed terminal or a time limit must run the same clean-up as Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _raise_exit)
    try:
        status = main()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("error: interrupted; the next run goes on from here", file=sys.stderr)
        status = 130
    sys.exit(status or 0)


def _raise_exit(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
