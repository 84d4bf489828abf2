# SPDX-License-Identifier: GPL-2.0
"""The clock of limits: it stops while a process waits for a processor, and for nothing else."""

import os
import subprocess
import sys
import time
import unittest

from harness import clock, limits
from harness.clock import Clock


class Host:
    """A host with processes of which this test says how long they wait."""

    def __init__(self):
        self.time = 1000.0
        self.waits = {}

    def pass_time(self, seconds, busy=(), share=1.0):
        """SECONDS pass, in which each of the threads BUSY gets a SHARE of a processor."""
        self.time += seconds
        for thread in busy:
            self.waits[thread] = self.waits.get(thread, 0) + int(seconds * (1 - share) * 1e9)

    def clock(self):
        return Clock(lambda: dict(self.waits), lambda: self.time)


class Speed(unittest.TestCase):
    def elapsed(self, seconds, busy=(), share=1.0):
        """The time by the clock after so many SECONDS of the host."""
        host = Host()
        watch = host.clock()
        for _ in range(seconds):
            host.pass_time(1, busy, share)
            watch.seconds()
        return watch.seconds()

    def test_an_idle_process_has_the_hosts_time(self):
        self.assertEqual(self.elapsed(600), 600)

    def test_a_busy_process_on_a_quiet_host_has_the_hosts_time(self):
        self.assertEqual(self.elapsed(600, busy=[1, 2]), 600)

    def test_a_process_that_gets_a_third_has_a_third(self):
        self.assertAlmostEqual(self.elapsed(900, busy=[1], share=1 / 3), 300, delta=1)

    def test_threads_that_wait_in_turn_are_not_counted_twice(self):
        self.assertAlmostEqual(self.elapsed(100, busy=[1, 2, 3, 4], share=1 / 2), 50, delta=1)

    def test_a_process_that_gets_nothing_does_not_last_for_ever(self):
        self.assertAlmostEqual(self.elapsed(1000, busy=[1], share=0), 1000 * clock.FLOOR, delta=1)

    def test_a_wait_that_ends_after_many_looks_counts_whole(self):
        host = Host()
        watch = host.clock()
        for _ in range(100):
            for _ in range(10):
                host.pass_time(1)
                watch.seconds()
            host.waits[1] = host.waits.get(1, 0) + int(9e9)
        self.assertAlmostEqual(watch.seconds(), 100, delta=15)

    def test_a_thread_that_has_just_begun_has_waited_only_since_then(self):
        host = Host()
        watch = host.clock()
        host.pass_time(10)
        self.assertEqual(watch.seconds(), 10)
        host.pass_time(10, busy=[7], share=0.5)
        self.assertEqual(watch.seconds(), 15)

    def test_three_other_loads_trip_no_limit_and_a_hang_does(self):
        """A suite of two minutes, a quarter of the speed; and a guest that hangs, busy or idle."""
        self.assertLess(self.elapsed(4 * 130, busy=[1, 2], share=1 / 4), limits.SUITE.total / 4)
        self.assertGreater(self.elapsed(1000), limits.SUITE.silence)
        self.assertGreater(self.elapsed(4000, busy=[1], share=1 / 4), limits.SUITE.silence)


class Processes(unittest.TestCase):
    def test_the_threads_of_a_session_are_found_also_of_its_children(self):
        script = ("import subprocess, sys; print(flush=True); "
                  "subprocess.run([sys.executable, '-c', "
                  "'import sys; print(flush=True); sys.stdin.read()'])")
        with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, start_new_session=True) as process:
            for _ in range(2):
                process.stdout.readline()
            found = clock.waits_of_session(process.pid)
            process.stdin.close()
        self.assertIn(process.pid, found)
        self.assertGreaterEqual(len(found), 2)
        self.assertNotIn(os.getpid(), found)

    def test_a_thread_that_waits_for_a_processor_is_seen_to(self):
        """Two busy loops on one processor: each waits about half of the time."""
        processor = min(os.sched_getaffinity(0))
        argv = ["taskset", "-c", str(processor), "sh", "-c",
                "while :; do :; done & while :; do :; done"]
        with subprocess.Popen(argv, start_new_session=True) as process:
            watch = Clock(lambda: clock.waits_of_session(process.pid))
            try:
                started = time.monotonic()
                while time.monotonic() - started < 3:
                    watch.seconds()
                    time.sleep(0.1)
                host = time.monotonic() - started
            finally:
                os.killpg(process.pid, 9)
        self.assertLess(watch.seconds(), 0.8 * host)
