# SPDX-License-Identifier: GPL-2.0
"""The terminal of the person who asked for a shell."""

import sys
import termios
import tty
from typing import Any, Self

ESCAPE = b"\x1e"


class Terminal:
    """Standard input in raw mode, so that each key reaches the guest."""

    def __enter__(self) -> Self:
        self._saved = termios.tcgetattr(sys.stdin)
        tty.setraw(sys.stdin)
        return self

    def __exit__(self, *_: Any) -> None:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._saved)

    def fileno(self) -> int:
        """Descriptor to read keys from."""
        return sys.stdin.fileno()

    def is_escape(self, keys: bytes) -> bool:
        """True if KEYS contain Ctrl-^, by which the person leaves."""
        return ESCAPE in keys
