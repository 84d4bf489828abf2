# SPDX-License-Identifier: GPL-2.0
"""Tasks run side by side as the host carries them, and end with the scheduler."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from harness.engine import resources
from harness.engine.job import Load
from harness.engine.resources import Resources
from harness.engine.scheduler import Scheduler, State, Task
from harness.engine.worker import Note, Worker
from harness.results import PASSED, Test
from xenrust.failure import Failure

from .processes import PATIENCE, has_ended, wait_until

QEMU_TEST = pathlib.Path(__file__).resolve().parents[1]


class Listener:
    """Keeps all news."""

    def __init__(self):
        self.messages = []
        self.ended = []

    def on_message(self, task, message):
        self.messages.append((task.title, message))

    def on_end(self, task):
        self.ended.append(task.title)

    def tick(self, tasks):
        pass


class Scheduling(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.listener = Listener()

    def task(self, title, seconds=0.0, threads=1.0, memory=1, after=(), **rest):
        """A task that notes when it begins and ends; SECONDS is its expected time as well."""
        def work(reporter):
            times = self.folder / title
            began = time.monotonic()
            time.sleep(seconds)
            times.write_text(f"{began} {time.monotonic()}")
            return [Test(title, PASSED)]
        return Task(title, work, Load(threads, memory, seconds), after, **rest)

    def run_tasks(self, *tasks, threads=2.0, memory=1000):
        Scheduler(Resources(threads, memory), self.listener).run(tasks)

    def times(self, title):
        return tuple(map(float, (self.folder / title).read_text().split()))

    def overlap(self, one, other):
        (a, b), (c, d) = self.times(one), self.times(other)
        return a < d and c < b

    def test_two_at_a_time_and_the_longest_first(self):
        tasks = [self.task("short", 0.3), self.task("long", 1.5), self.task("middle", 0.6)]
        self.run_tasks(*tasks)
        self.assertTrue(self.overlap("long", "middle"))
        self.assertTrue(self.overlap("long", "short"))
        self.assertFalse(self.overlap("middle", "short"))
        self.assertLess(self.times("middle")[0], self.times("short")[0])

    def test_one_at_a_time(self):
        self.run_tasks(self.task("a", 0.3), self.task("b", 0.3), threads=1.0)
        self.assertFalse(self.overlap("a", "b"))

    def test_memory_is_shared_too(self):
        self.run_tasks(self.task("a", 0.3, memory=600), self.task("b", 0.3, memory=600))
        self.assertFalse(self.overlap("a", "b"))

    def test_a_task_that_wants_more_than_there_is_runs_alone(self):
        self.run_tasks(self.task("large", 0.3, threads=8.0), self.task("small", 0.3))
        self.assertFalse(self.overlap("large", "small"))

    def test_others_run_while_a_build_step_does(self):
        step = self.task("step", 0.8, is_build_step=True)
        self.run_tasks(self.task("needs it", 2.0, after=[step]), self.task("free", 0.3), step)
        self.assertTrue(self.overlap("step", "free"))
        self.assertGreater(self.times("needs it")[0], self.times("step")[1])

    def test_a_build_step_that_fails_fails_those_that_need_it(self):
        def fail(_reporter):
            raise Failure("it does not build; log LOG")
        step = Task("step", fail, Load(), is_build_step=True)
        needs = self.task("needs it", after=[step])
        later = self.task("later", after=[needs])
        free = self.task("free")
        self.run_tasks(needs, later, free, step)
        self.assertEqual([task.state for task in (step, needs, later, free)],
                         [State.FAILED, State.FAILED, State.FAILED, State.DONE])
        self.assertEqual(later.failure, "it does not build; log LOG")
        self.assertFalse((self.folder / "needs it").exists())

    def test_results_and_texts_arrive(self):
        def work(reporter):
            reporter.test(Test("one", PASSED))
            reporter.note("a note")
            reporter.progress("a step")
            print("a line of a build", file=sys.stderr)
            return [Test("one", PASSED)]
        task = Task("task", work, Load())
        self.run_tasks(task)
        self.assertEqual(self.listener.messages, [("task", Test("one", PASSED)),
                                                  ("task", Note("a note"))])
        self.assertEqual(task.tests, [Test("one", PASSED)])
        self.assertEqual(task.progress, "a line of a build")

    def test_an_error_of_the_harness_fails_one_task(self):
        def work(_reporter):
            raise KeyError("nothing")
        broken, free = Task("broken", work, Load()), self.task("free")
        self.run_tasks(broken, free)
        self.assertIn("KeyError: 'nothing'", broken.failure)
        self.assertEqual(free.state, State.DONE)

    def test_a_process_that_dies_fails_its_task(self):
        task = Task("task", lambda reporter: os.kill(os.getpid(), signal.SIGKILL), Load())
        self.run_tasks(task)
        self.assertEqual(task.failure, "its process ended with status -9")


# Two tasks with a fake emulator each, that have a child of their own and tell both numbers.
INTERRUPTED = """
import pathlib, sys, tempfile
from harness import architecture
from harness.boot_log import Writer
from harness.engine.job import Load
from harness.engine.resources import Resources
from harness.engine.scheduler import Scheduler, Task
from harness.limits import BootLimits
from harness.machine import Machine
from xenrust import failure
from xenrust.processor import Processor

folder = pathlib.Path(sys.argv[1])
tempfile.tempdir = str(folder)
FAKE = ("import os, subprocess, sys, time; "
        "child = subprocess.Popen(['sleep', '1000']); "
        "open(sys.argv[1] + '.new', 'w').write(f'{os.getpid()} {child.pid}'); "
        "os.rename(sys.argv[1] + '.new', sys.argv[1]); time.sleep(1000)")

def emulate(name):
    def work(reporter):
        machine = Machine(architecture.of(Processor.X86_64), Writer(folder / f"{name}.log"), "w",
                          BootLimits(90))
        machine.run(lambda ports: [sys.executable, "-c", FAKE, str(folder / f"{name}.pids")])
        return []
    return work

class Listener:
    def on_message(self, task, message): pass
    def on_end(self, task): pass
    def tick(self, tasks): pass

def main():
    tasks = [Task(name, emulate(name), Load()) for name in ("one", "two")]
    Scheduler(Resources(2.0, 1000), Listener()).run(tasks)

failure.run_main(main)
"""


class Interruption(unittest.TestCase):
    def end_by(self, number):
        """Send signal NUMBER to a run with two emulators; return its status and its folder's
        files, when nothing of it runs any more."""
        with tempfile.TemporaryDirectory() as folder:
            marks = [pathlib.Path(folder, f"{name}.pids") for name in ("one", "two")]
            # A shell's background job ignores SIGINT, and so would its children.
            with subprocess.Popen(["env", "--default-signal=INT", sys.executable, "-c",
                                   INTERRUPTED, folder], cwd=QEMU_TEST,
                                  stderr=subprocess.DEVNULL, start_new_session=True) as run:
                wait_until(lambda: all(mark.exists() for mark in marks))
                run.send_signal(number)
                status = run.wait(PATIENCE)
            numbers = [int(word) for mark in marks for word in mark.read_text().split()]
            self.assertEqual(len(numbers), 4)
            wait_until(lambda: all(map(has_ended, numbers)))
            if number != signal.SIGKILL:
                # Ports are temporary.
                self.assertEqual(list(pathlib.Path(folder).glob("xen-*")), [])
            else:
                wait_until(lambda: not list(pathlib.Path(folder).glob("xen-*")))
            return status

    def test_ctrl_c(self):
        self.assertEqual(self.end_by(signal.SIGINT), 130)

    def test_a_closed_terminal(self):
        self.assertEqual(self.end_by(signal.SIGHUP), 128 + signal.SIGHUP)

    def test_a_polite_signal(self):
        self.assertEqual(self.end_by(signal.SIGTERM), 128 + signal.SIGTERM)

    def test_a_signal_that_cannot_be_answered(self):
        self.assertEqual(self.end_by(signal.SIGKILL), -signal.SIGKILL)


class Stopping(unittest.TestCase):
    def test_a_second_signal_does_not_interrupt_the_cleaning_up(self):
        with tempfile.TemporaryDirectory() as folder:
            begun, ending, ended = (pathlib.Path(folder, name) for name in "abc")

            def work(_reporter):
                try:
                    begun.touch()
                    time.sleep(PATIENCE)
                finally:
                    ending.touch()
                    time.sleep(1)
                    ended.touch()

            worker = Worker(work)
            wait_until(begun.exists)
            worker.ask_to_stop()
            wait_until(ending.exists)
            worker.stop()
            self.assertTrue(ended.exists())


class HostResources(unittest.TestCase):
    def test_available_memory(self):
        text = "MemTotal: 24000000 kB\nMemFree: 1000 kB\nMemAvailable:   20480000 kB\n"
        self.assertEqual(resources.available_memory(text), 20000)
        with self.assertRaises(ValueError):
            resources.available_memory("MemFree: 1000 kB\n")

    def test_the_person_chooses_the_number(self):
        self.assertEqual(resources.of_host(3).threads, 3)
        self.assertEqual(resources.of_host(None).threads, len(os.sched_getaffinity(0)))
