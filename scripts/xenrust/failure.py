# SPDX-License-Identifier: GPL-2.0
"""End of a program: one line for the person at the terminal, and the exit status."""

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

POLITE_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Failure(Exception):
    """A step that cannot go on. The text names the cause, the log and the remedy."""


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Call main() and exit with its result, or with the status of its failure."""
    exit_at_signals()
    try:
        status = main()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("error: interrupted; the next run goes on from here", file=sys.stderr)
        status = 130
    sys.exit(status or 0)


def exit_at_signals() -> None:
    """Have a closed terminal and a time limit run the same clean-up as Ctrl-C. A second signal does
    not interrupt it: temporary files would stay."""
    for number in POLITE_SIGNALS:
        signal.signal(number, _raise_exit)


def _raise_exit(number: int, _frame: FrameType | None) -> NoReturn:
    for polite in POLITE_SIGNALS:
        signal.signal(polite, signal.SIG_IGN)
    sys.exit(128 + number)
