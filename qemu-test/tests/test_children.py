# SPDX-License-Identifier: GPL-2.0
"""Child processes: their output, their limits, and their end with their parent."""

import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from harness import children
from xenrust.failure import Failure

from .processes import has_ended, wait_until

QEMU_TEST = pathlib.Path(__file__).resolve().parents[1]


class Run(unittest.TestCase):
    def test_output_and_status(self):
        lines = []
        completed = children.run(["sh", "-c", "echo one; echo two >&2; printf three; exit 3"], 10,
                                 on_line=lines.append)
        self.assertEqual((completed.status, completed.text), (3, "one\ntwo\nthree"))
        self.assertEqual(lines, ["one", "two", "three"])

    def test_input_larger_than_a_pipe(self):
        text = "a line of text\n" * 100000
        self.assertEqual(children.run(["cat"], 10, feed=text).text, text)

    def test_a_command_that_reads_no_input(self):
        self.assertEqual(children.run(["true"], 10, feed="x" * 1000000).status, 0)

    def test_the_limit(self):
        started = time.monotonic()
        with self.assertRaisesRegex(Failure, "no end after 1 s"):
            children.run(["sh", "-c", "sleep 60 & sleep 60"], 1)
        self.assertLess(time.monotonic() - started, 10)

    def test_a_command_that_dies(self):
        self.assertEqual(children.run(["sh", "-c", "kill -KILL $$"], 10).status, -signal.SIGKILL)

    def test_the_background_takes_what_others_leave(self):
        def state(argv):
            script = "chrt --pid $$; cat /proc/self/autogroup 2>/dev/null; exit 3"
            completed = children.run([*argv, "sh", "-c", script], 10)
            self.assertEqual(completed.status, 3)
            return completed.text

        self.assertNotIn("SCHED_IDLE", state([]))
        behind = state(children.in_background([]))
        self.assertIn("SCHED_IDLE", behind)
        if pathlib.Path("/proc/self/autogroup").exists():
            self.assertIn("nice 19", behind)

    def test_it_ends_with_its_parent(self):
        with tempfile.TemporaryDirectory() as folder:
            mark = pathlib.Path(folder, "pid")
            script = ("from harness import children\n"
                      f"children.run(['sh', '-c', 'echo $$ >{mark}.new; mv {mark}.new {mark}; "
                      "exec sleep 100'], 50)")
            with subprocess.Popen([sys.executable, "-c", script], cwd=QEMU_TEST) as parent:
                wait_until(mark.exists)
                parent.kill()
            wait_until(lambda: has_ended(int(mark.read_text())))
