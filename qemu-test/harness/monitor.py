# SPDX-License-Identifier: GPL-2.0
"""The emulator's monitor, by the QEMU Machine Protocol."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

# Takes the answer to a command, or the reason why there is none.
Then = Callable[[Any, str | None], None]


# Event of a machine that its guest has suspended to RAM.
SUSPEND = "SUSPEND"


class Monitor:
    """Sends commands by WRITE, which takes bytes, and reads the lines that come back. ON_EVENT gets
    the name of each event of the machine."""

    def __init__(self, write: Callable[[bytes], object],
                 on_event: Callable[[str], object] = lambda name: None) -> None:
        self._write = write
        self._on_event = on_event
        # Receivers of the answers, by the number of the command.
        self._waiting: dict[int, Then] = {}
        self._sent = 0
        # The monitor accepts no other command before this one, and reports no event.
        self._send({"execute": "qmp_capabilities"})

    def take_screen(self, path: pathlib.Path, form: str,
                    then: Callable[[str | None], None]) -> None:
        """Ask for the screen as a file at PATH, of the FORM "ppm" or "png". THEN gets None, or the
        reason why there is none."""
        self._ask("screendump", {"filename": str(path), "format": form},
                  lambda result, error: then(error))

    def ask_person(self, command: str, then: Callable[[str], None]) -> None:
        """Give the COMMAND that a person would type. THEN gets the text that comes back."""
        self._ask("human-monitor-command", {"command-line": command},
                  lambda result, error: then(error or str(result)))

    def wake_up(self, then: Callable[[str | None], None]) -> None:
        """End the machine's suspension to RAM. THEN gets None, or the reason why it goes on."""
        self._ask("system_wakeup", {}, lambda result, error: then(error))

    def read(self, line: str) -> None:
        """Take a LINE of the monitor's."""
        try:
            message = json.loads(line)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        if "event" in message:
            self._on_event(message["event"])
        number = message.get("id")
        then = self._waiting.pop(number, None) if isinstance(number, int) else None
        if then:
            error = message.get("error")
            then(message.get("return"), error.get("desc", "unknown error") if error else None)

    def _ask(self, command: str, arguments: dict[str, str], then: Then) -> None:
        self._sent += 1
        self._waiting[self._sent] = then
        self._send({"execute": command, "arguments": arguments, "id": self._sent})

    def _send(self, command: dict[str, object]) -> None:
        self._write(json.dumps(command).encode() + b"\n")
