# SPDX-License-Identifier: GPL-2.0
"""A long step logs everything, says little, and fails with one clear line."""

import contextlib
import io
import os
import pathlib
import re
import tempfile
import time
import unittest
from unittest import mock

from xenrust.failure import Failure
from xenrust.progress import Screen, Step


class StepTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.log = self.folder / "log" / "step.log"

    def run_step(self, script, timeout=600, follow=None):
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            try:
                Step("step", self.log, timeout, follow).run(["sh", "-c", script], failed="it broke")
            except Failure as failure:
                said.write(f"error: {failure}\n")
        return said.getvalue()

    def test_short_step_says_nothing_and_logs_all(self):
        self.assertEqual(self.run_step("echo out; echo err >&2; printf unfinished"), "")
        self.assertTrue(self.log.read_text("utf-8").endswith("out\nerr\nunfinished\n"))

    def test_failure_names_status_and_log(self):
        self.assertEqual(self.run_step("exit 7"),
                         f"error: it broke (exit status 7); log {self.log}\n")

    def test_failure_shows_the_first_complaint(self):
        said = self.run_step("echo fine; echo 'x.c:1: error: no such thing'; echo here; exit 1")
        self.assertEqual(said.splitlines()[:2], ["  x.c:1: error: no such thing", "  here"])
        self.assertNotIn("fine", said)

    def test_failure_shows_what_modpost_complains_of(self):
        complaint = 'ERROR: modpost: missing MODULE_LICENSE() in x.o'
        said = self.run_step(f"echo '{complaint}'; exit 1")
        self.assertEqual(said.splitlines()[0], f"  {complaint}")

    def test_every_line_is_followed(self):
        seen = []
        self.run_step("echo one; echo two", follow=seen.append)
        self.assertEqual(seen, ["one", "two"])

    def test_step_that_does_not_end_is_ended(self):
        marker = self.folder / "pid"
        started = time.monotonic()
        said = self.run_step(f"sleep 60 & echo $! > {marker}; wait", timeout=1)
        self.assertLess(time.monotonic() - started, 20)
        self.assertIn("no end after 1s", said)
        pid = int(marker.read_text("utf-8"))
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and self.is_running(pid):
            time.sleep(0.05)
        self.assertFalse(self.is_running(pid))

    @staticmethod
    def is_running(pid):
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state[0] not in "ZX"

    def test_output_that_stays_open_does_not_hold_the_step(self):
        started = time.monotonic()
        self.run_step("sleep 60 & exit 0", timeout=2)
        self.assertLess(time.monotonic() - started, 20)

    def test_missing_log_folder_is_made(self):
        self.run_step("true")
        self.assertTrue(os.path.exists(self.log))


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self):
        return True


class ScreenTest(unittest.TestCase):
    """On a terminal each running step has one line, below those that stay."""

    def setUp(self):
        self.terminal = Terminal()
        redirection = contextlib.redirect_stderr(self.terminal)
        redirection.__enter__()
        self.addCleanup(redirection.__exit__, None, None, None)
        self.screen = Screen()

    def shown(self):
        """The lines that the terminal shows."""
        lines = []
        for part in re.split(r"(\033\[\d+F\033\[J)", self.terminal.getvalue()):
            back = re.match(r"\033\[(\d+)F", part)
            if back:
                del lines[len(lines) - int(back[1]):]
            else:
                lines += part.splitlines()
        return lines

    def test_lines_change_in_place(self):
        self.screen.show("a", "a: 1s")
        self.screen.show("b", "b: 1s")
        self.screen.show("a", "a: 2s")
        self.assertEqual(self.shown(), ["a: 2s", "b: 1s"])

    def test_lines_that_stay_are_above(self):
        self.screen.show("a", "a: 1s")
        self.screen.say("before")
        self.screen.show("b", "b: 1s")
        self.screen.remove("a")
        self.screen.say("a: done")
        self.assertEqual(self.shown(), ["before", "a: done", "b: 1s"])
        self.screen.remove("b")
        self.assertEqual(self.shown(), ["before", "a: done"])

    def test_a_line_never_takes_two(self):
        with mock.patch.dict(os.environ, {"COLUMNS": "20", "LINES": "5"}):
            self.screen.show("a", "x" * 50)
        self.assertEqual(self.shown(), ["x" * 19])

    def test_no_terminal(self):
        with contextlib.redirect_stderr(io.StringIO()) as printed:
            self.screen.show("a", "a: 1s")
            self.screen.say("text")
            self.screen.remove("a")
        self.assertEqual(printed.getvalue(), "text\n")

    def test_a_step_leaves_no_line(self):
        with tempfile.TemporaryDirectory() as folder:
            Step("step", pathlib.Path(folder, "log"), 20).run(["sleep", "1.5"], failed="")
        # Seconds on a busy machine are its own affair.
        self.assertRegex("\n" + self.terminal.getvalue(), r"\nstep: \d+s\n")
        self.assertRegex("\n".join(self.shown()), r"^step: done in \d+s$")


if __name__ == "__main__":
    unittest.main()
