# SPDX-License-Identifier: GPL-2.0
"""The emulator's monitor: takes pictures of the screen, by the QEMU Machine Protocol."""

import json


class Monitor:
    """Sends commands by WRITE, which takes bytes, and reads the lines that come back."""

    def __init__(self, write):
        self._write = write
        self._ready = False

    def take_screen(self, key, path):
        """Ask for the screen as a PPM file at PATH. The answer bears the KEY."""
        if not self._ready:
            # The monitor obeys nothing else before.
            self._send({"execute": "qmp_capabilities"})
            self._ready = True
        self._send({"execute": "screendump", "arguments": {"filename": str(path)}, "id": key})

    def answer(self, line):
        """(key, error or None) if this LINE answers take_screen, else None."""
        try:
            message = json.loads(line)
        except ValueError:
            return None
        if not isinstance(message, dict) or "id" not in message:
            return None
        error = message.get("error")
        return message["id"], error.get("desc", "unknown error") if error else None

    def _send(self, command):
        self._write(json.dumps(command).encode() + b"\n")
