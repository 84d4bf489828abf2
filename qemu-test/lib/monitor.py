# SPDX-License-Identifier: GPL-2.0
"""The emulator's monitor, by the QEMU Machine Protocol."""

import json


class Monitor:
    """Sends commands by WRITE, which takes bytes, and reads the lines that come back."""

    def __init__(self, write):
        self._write = write
        self._ready = False
        # By the number of a command, what to do with its answer.
        self._waiting = {}
        self._sent = 0

    def take_screen(self, path, then):
        """Ask for the screen as a PPM file at PATH. THEN gets None, or why there is none."""
        self._ask("screendump", {"filename": str(path)}, lambda result, error: then(error))

    def ask_person(self, command, then):
        """Give the COMMAND that a person would type. THEN gets the text that comes back."""
        self._ask("human-monitor-command", {"command-line": command},
                  lambda result, error: then(error or result))

    def read(self, line):
        """Take a LINE of the monitor's."""
        try:
            message = json.loads(line)
        except ValueError:
            return
        then = self._waiting.pop(message.get("id"), None) if isinstance(message, dict) else None
        if then:
            error = message.get("error")
            then(message.get("return"), error.get("desc", "unknown error") if error else None)

    def _ask(self, command, arguments, then):
        if not self._ready:
            # The monitor obeys nothing else before.
            self._send({"execute": "qmp_capabilities"})
            self._ready = True
        self._sent += 1
        self._waiting[self._sent] = then
        self._send({"execute": command, "arguments": arguments, "id": self._sent})

    def _send(self, command):
        self._write(json.dumps(command).encode() + b"\n")
