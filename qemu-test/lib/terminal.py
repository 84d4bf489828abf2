# SPDX-License-Identifier: GPL-2.0
"""The terminal of the person who asked for a shell."""

import sys
import termios
import tty

ESCAPE = b"\x1e"


class Terminal:
    """Standard input in raw mode, so that each key reaches the guest; not WANTED, it is None."""

    def __init__(self, wanted):
        self._wanted = wanted

    def __enter__(self):
        if not self._wanted:
            return None
        self._saved = termios.tcgetattr(sys.stdin)
        tty.setraw(sys.stdin)
        return self

    def __exit__(self, *_):
        if self._wanted:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._saved)

    def fileno(self):
        return sys.stdin.fileno()

    def is_escape(self, keys):
        """Whether KEYS contain Ctrl-^, by which the person leaves."""
        return ESCAPE in keys
