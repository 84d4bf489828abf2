# SPDX-License-Identifier: GPL-2.0
"""Steps run after those that they depend on, beside the others, and end together."""

import os
import pathlib
import signal
import tempfile
import threading
import time
import unittest
from unittest import mock

from xenrust import graph, stopping
from xenrust.cache import Cache
from xenrust.failure import Failure
from xenrust.progress import Step


class Order(unittest.TestCase):
    def test_values_go_to_the_steps_that_depend_on_them(self):
        two = graph.Node(lambda: 2)
        three = graph.Node(lambda: 3)
        product = graph.Node(lambda: two.value * three.value, two, three)
        # Steps that are only depended on run as well.
        graph.run([product])
        self.assertEqual((two.value, product.value), (2, 6))

    def test_each_step_runs_once_and_after_its_dependencies(self):
        ran = []
        first = graph.Node(lambda: (time.sleep(0.2), ran.append("first")))
        second = graph.Node(lambda: ran.append("second"), first)
        third = graph.Node(lambda: ran.append("third"), first, second)
        graph.run([third, second, first])
        self.assertEqual(ran, ["first", "second", "third"])

    def test_independent_steps_run_at_the_same_time(self):
        meeting = threading.Barrier(3, timeout=600)
        graph.run([graph.Node(meeting.wait) for _ in range(3)])

    def test_a_step_starts_although_an_unrelated_one_still_runs(self):
        started = threading.Event()
        slow = graph.Node(lambda: started.wait(600))
        first = graph.Node(lambda: None)
        graph.run([slow, graph.Node(started.set, first)])
        self.assertTrue(slow.value)

    def test_circle(self):
        first = graph.Node(lambda: None)
        second = graph.Node(lambda: None, first)
        first.after = (second,)
        with self.assertRaises(ValueError):
            graph.run([second])

    def test_value_of_a_step_that_has_not_run(self):
        with self.assertRaises(RuntimeError):
            graph.Node(lambda: 1).value


class End(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def command(self, script, name):
        """A function that runs a shell script as a long step."""
        step = Step(name, self.folder / f"{name}.log", timeout=600)
        return lambda: step.run(["sh", "-c", script], failed=f"{name} broke")

    def long_command(self):
        """One that writes its process id and would run for a minute."""
        return self.command(f"echo $$ >{self.folder}/pid.new; mv {self.folder}/pid.new "
                            f"{self.folder}/pid; sleep 60", "long")

    def wait_for_long_command(self):
        deadline = time.monotonic() + 20
        while not (self.folder / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return int((self.folder / "pid").read_text(encoding="utf-8"))

    def assert_gone(self, pid):
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_failure_ends_the_others_and_is_the_one_that_is_told(self):
        ran = []
        broken = graph.Node(lambda: (self.wait_for_long_command(),
                                     self.command("exit 3", "short")()))
        started = time.monotonic()
        with self.assertRaisesRegex(Failure, "^short broke .exit status 3.; log .*short.log$"):
            graph.run([graph.Node(self.long_command()), broken,
                       graph.Node(lambda: ran.append(1), broken)])
        self.assertLess(time.monotonic() - started, 30)
        self.assertEqual(ran, [])
        self.assert_gone(self.wait_for_long_command())

    def test_interruption_ends_the_commands(self):
        def interrupt():
            self.wait_for_long_command()
            os.kill(os.getpid(), signal.SIGINT)

        # A shell's background job ignores SIGINT.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, handler)
        with self.assertRaises(KeyboardInterrupt):
            graph.run([graph.Node(self.long_command()), graph.Node(interrupt)])
        self.assert_gone(self.wait_for_long_command())

    def test_a_wait_for_a_lock_ends(self):
        with mock.patch.dict(os.environ, {"CACHE": str(self.folder / "cache")}):
            cache = Cache()
        held = threading.Event()

        def hold():
            with cache.lock("name"):
                held.set()
                while True:
                    stopping.wait(600)

        def fail():
            held.wait(600)
            raise Failure("reason")

        with self.assertRaisesRegex(Failure, "^reason$"):
            graph.run([graph.Node(hold), graph.Node(fail),
                       graph.Node(lambda: cache.lock("name").__enter__())])

    def test_a_wish_to_stop_ends_with_the_run(self):
        with self.assertRaises(Failure):
            graph.run([graph.Node(self.command("exit 1", "short"))])
        stopping.check()
        graph.run([graph.Node(stopping.check)])


class Lock(unittest.TestCase):
    def test_threads_take_turns(self):
        inside = []
        most = []

        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.dict(os.environ, {"CACHE": folder + "/cache"}):
            cache = Cache()

            def work():
                with cache.lock("name"):
                    inside.append(1)
                    time.sleep(0.1)
                    most.append(len(inside))
                    inside.pop()

            with mock.patch("xenrust.cache.say"):
                graph.run([graph.Node(work) for _ in range(4)])
        self.assertEqual(most, [1, 1, 1, 1])
