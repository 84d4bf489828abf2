# SPDX-License-Identifier: GPL-2.0
"""Programs end by signals as by themselves."""

import pathlib
import signal
import subprocess
import sys
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[1]

PROGRAM = """
import time
from xenrust import failure

def main():
    try:
        print("begun", flush=True)
        time.sleep(600)
    finally:
        print("cleaning up", flush=True)
        time.sleep(1)
        print("clean", flush=True)

failure.run_main(main)
"""


class Signals(unittest.TestCase):
    def test_a_second_signal_does_not_interrupt_the_cleaning_up(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number), subprocess.Popen(
                    [sys.executable, "-c", PROGRAM], cwd=SCRIPTS, stdout=subprocess.PIPE,
                    text=True) as program:
                for said in ("begun\n", "cleaning up\n"):
                    self.assertEqual(program.stdout.readline(), said)
                    program.send_signal(number)
                self.assertEqual(program.stdout.read(), "clean\n")
                self.assertEqual(program.wait(600), 128 + number)


if __name__ == "__main__":
    unittest.main()
