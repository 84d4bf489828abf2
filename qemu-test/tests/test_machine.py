# SPDX-License-Identifier: GPL-2.0
"""The machine runner, with a short program in the emulator's place."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from harness import architecture, inspection, limits
from harness.boot_log import Writer, read
from harness.coverage import blocks
from harness.limits import BootLimits
from harness.machine import Listeners, Machine
from xenrust.processor import Processor

from .processes import has_ended, wait_until
from .test_nested_interrupt import DISABLED, ENABLED, INTERRUPT, SYMBOLS, stack

WORD = "boot-0123"
QEMU_TEST = pathlib.Path(__file__).resolve().parents[1]
X86 = architecture.of(Processor.X86_64)

# Begin of a fake emulator: log(), run() and domu() write to the serial ports.
PRELUDE = """
import os, sys, time
names = ("log", "run", "domu", "monitor")
ports = {name: os.open(f"{sys.argv[1]}/{name}.out", os.O_RDWR) for name in names}
def log(text): os.write(ports["log"], text.encode())
def run(data): os.write(ports["run"], data)
def domu(text): os.write(ports["domu"], text.encode())
def said(port): return open(f"{sys.argv[1]}/{port}.in", buffering=1)
def tell(text): log(f"[    1.0] boot-0123 {text};\\r\\n")
"""


class Run(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name, "log")
        self.chunks = []
        self.steps = []
        self.screens = []
        self.emulator_lines = blocks.Reader()
        self.is_enough = lambda: False
        self.set(inspection, "ANSWERS", 1)

    def set(self, module, name, value):
        self.addCleanup(setattr, module, name, getattr(module, name))
        setattr(module, name, value)

    def run_script(self, script, total=20, silence=None, end_at_death=False, symbols=None):
        log = Writer(self.path)
        runner = Machine(
            X86, log, WORD, BootLimits(total, silence),
            Listeners(self.chunks.append, self.steps.append,
                      lambda name, screen: self.screens.append(
                          (name, screen.ppm.read_bytes(), screen.png.read_bytes())),
                      emulator=self.emulator_lines.take, is_enough=self.is_enough),
            end_at_death, symbols)
        try:
            return runner.run(
                lambda ports: [sys.executable, "-c", PRELUDE + script, str(ports)])
        finally:
            log.close()

    def texts(self, source):
        return [line.text for line in read(self.path) if line.source == source]

    def test_the_command_s_own_status(self):
        outcome = self.run_script("tell('step init'); tell('run'); tell('exit 42'); "
                                  "time.sleep(60)")
        self.assertEqual((outcome.end, outcome.status, outcome.stage), ("exit", 42, "run"))
        self.assertEqual(self.steps, ["init", "run"])

    def test_a_domu_that_dies_ends_the_machine_if_that_is_asked_for(self):
        script = ("tell('run'); domu('[    9.0] Kernel panic - not syncing: why\\r\\n'); "
                  "time.sleep(0.5); tell('exit 0'); time.sleep(60)")
        self.assertEqual(self.run_script(script).end, "exit")
        outcome = self.run_script(script, end_at_death=True)
        self.assertEqual((outcome.end, outcome.reason[:9]), ("died", "the domU:"))

    def test_a_command_is_told_once_that_it_is_enough(self):
        self.is_enough = lambda: b"".join(self.chunks) == b"round 1\n"
        outcome = self.run_script(
            "import select; port = os.open(f'{sys.argv[1]}/run.in', os.O_RDONLY); "
            "tell('run'); "
            "run(b'round 1\\n'); word = os.read(port, 100); "
            "more = select.select([port], [], [], 1); "
            "tell('exit 5' if word == b'end\\n' and not more[0] else 'exit 6'); time.sleep(60)")
        self.assertEqual(outcome.status, 5)

    def test_output_is_passed_byte_for_byte(self):
        outcome = self.run_script("tell('run'); run(bytes(range(256)) * 100); tell('exit 0'); "
                                  "time.sleep(60)")
        self.assertEqual(b"".join(self.chunks), bytes(range(256)) * 100)
        self.assertEqual(bytes(outcome.output), bytes(range(256)) * 100)

    def test_output_cannot_forge_the_status(self):
        outcome = self.run_script("tell('run'); run(b'[    1.0] boot-0123 exit 0;\\n'); "
                                  "log('[    1.0] boot-9999 exit 0;\\n'); time.sleep(0.5); "
                                  "tell('exit 7'); time.sleep(60)")
        self.assertEqual(outcome.status, 7)

    def test_a_torn_line_is_not_taken_for_a_status(self):
        outcome = self.run_script("log('boot-0123 exit 1(XEN) a message\\r\\n2;\\r\\n'); "
                                  "tell('exit 12'); time.sleep(60)")
        self.assertEqual(outcome.status, 12)
        self.assertEqual(self.texts("xen"), ["(XEN) a message"])

    def test_each_source_is_marked_in_the_log(self):
        self.run_script("log('(XEN) one\\r\\n'); log('[    1.0] two\\r\\n'); domu('three\\r\\n'); "
                        "run(b'four\\n'); print('five', flush=True); time.sleep(0.5); "
                        "tell('exit 0'); time.sleep(60)")
        for source, text in (("xen", "(XEN) one"), ("dom0", "[    1.0] two"), ("domU", "three"),
                             ("run", "four"), ("qemu", "five")):
            self.assertEqual(self.texts(source), [text])

    def test_blocks_of_instructions_are_kept_from_the_log(self):
        self.run_script("print('IN:\\n0x1000:  c3    retq\\n\\nelse', flush=True); "
                        "time.sleep(0.5); tell('exit 0'); time.sleep(60)")
        self.assertEqual(self.texts("qemu"), ["else"])
        self.assertEqual(self.emulator_lines.blocks(), {blocks.Block(0x1000, b"\xc3")})

    def test_a_program_that_writes_for_ever_does_not_hold_up_the_end(self):
        outcome = self.run_script("tell('run'); tell('exit 3')\n"
                                  "while True: run(b'more' * 1000)")
        self.assertEqual((outcome.end, outcome.status), ("exit", 3))
        self.assertLess(outcome.seconds, 10)

    def test_the_time_limit(self):
        outcome = self.run_script("tell('run'); time.sleep(60)", total=1)
        self.assertEqual((outcome.end, outcome.reason), ("timeout", "no end after 1 s"))
        self.assertLess(outcome.seconds, 10)

    def test_the_limit_of_silence(self):
        outcome = self.run_script("tell('run'); time.sleep(60)", silence=1)
        self.assertEqual((outcome.end, outcome.reason), ("timeout", "no word for 1 s"))
        self.assertLess(outcome.seconds, 10)

    def test_a_silent_machine_is_asked_for_impossible_stacks(self):
        self.set(limits, "SILENCE_BEFORE_LOOK", 0.5)
        self.set(limits, "LOOK_INTERVAL", 0.2)
        symbols = self.path.with_name("System.map")
        symbols.write_text(SYMBOLS, encoding="ascii")
        script = ("tell('run')\n"
                  "keys = open(f'{sys.argv[1]}/log.in', 'rb', buffering=0)\n"
                  "assert keys.read(4) == bytes((1, 1, 1)) + b'0'\n"
                  "for line in %r: log(line + '\\r\\n')\n"
                  "time.sleep(60)")
        outcome = self.run_script(script % stack(INTERRUPT, DISABLED), symbols=symbols)
        self.assertEqual((outcome.end, outcome.reason),
                         ("halted", "dom0 took an interrupt that it had disabled"))
        outcome = self.run_script(script % stack(INTERRUPT, ENABLED), symbols=symbols, silence=3)
        self.assertEqual((outcome.end, outcome.reason), ("timeout", "no word for 3 s"))

    def test_a_machine_that_goes_on_after_the_question_is_not_silent(self):
        self.set(limits, "SILENCE_BEFORE_LOOK", 0.3)
        self.set(limits, "LOOK_INTERVAL", 0.2)
        symbols = self.path.with_name("System.map")
        symbols.write_text(SYMBOLS, encoding="ascii")
        outcome = self.run_script("tell('run')\n"
                                  "for _ in range(5): time.sleep(1); log('[    1.0] a word\\n')\n"
                                  "tell('exit 0'); time.sleep(60)", silence=2.5, symbols=symbols)
        self.assertEqual(outcome.end, "exit")

    def test_the_log_has_the_state_of_a_machine_that_hung(self):
        outcome = self.run_script(
            "import json\n"
            "tell('run')\n"
            "orders, keys = said('monitor'), open(f'{sys.argv[1]}/log.in', 'rb', buffering=0)\n"
            "orders.readline()\n"
            "order = json.loads(orders.readline())\n"
            "assert order['arguments']['command-line'] == 'info registers -a'\n"
            "os.write(ports['monitor'], json.dumps(\n"
            "    {'return': 'CPU#0\\r\\nRIP=1234\\r\\n', 'id': order['id']}).encode() + b'\\n')\n"
            "log(f'(XEN) got {keys.read(7)}\\n')\n"
            "time.sleep(60)", silence=1)
        self.assertEqual((outcome.end, outcome.reason), ("timeout", "no word for 1 s"))
        self.assertEqual(self.texts("qemu"), ["CPU#0", "RIP=1234"])
        self.assertEqual(self.texts("xen"), [r"(XEN) got b'\x01\x01\x01d0er'"])

    def test_a_machine_that_speaks_is_not_silent(self):
        outcome = self.run_script("tell('run')\n"
                                  "for _ in range(12): run(b'.'); time.sleep(0.3)\n"
                                  "tell('exit 0'); time.sleep(60)", silence=2.5)
        self.assertEqual(outcome.end, "exit")

    def test_the_emulator_s_end(self):
        outcome = self.run_script("log('last words'); sys.exit(3)")
        self.assertEqual(outcome.end, "died")
        self.assertIn("status 3", outcome.reason)
        self.assertEqual(self.texts("dom0"), ["last words"])

    def test_a_panic_ends_it_and_its_trace_is_kept(self):
        outcome = self.run_script("log('Kernel panic - not syncing: x\\n'); time.sleep(0.5); "
                                  "log('the trace\\n'); time.sleep(60)")
        self.assertEqual(outcome.end, "died")
        self.assertIn("Kernel panic", outcome.reason)
        self.assertIn("the trace", self.texts("dom0"))

    def test_silence_before_init(self):
        self.set(limits, "SILENCE_BEFORE_INIT", 1)
        outcome = self.run_script("log('(XEN) started\\n'); time.sleep(60)")
        self.assertEqual(outcome.end, "silent")

    def run_halted(self, says):
        """A machine that has said nothing for long, whose processor 1 halts with an interrupt
        pending. After the first answer it runs SAYS."""
        self.set(limits, "SILENCE_BEFORE_LOOK", 0.5)
        self.set(limits, "LOOK_INTERVAL", 0.3)
        return self.run_script(
            "import json\n"
            "tell('run')\n"
            "orders = said('monitor')\n"
            "orders.readline()\n"
            "while True:\n"
            "    order = json.loads(orders.readline())\n"
            "    text = {'info registers -a': 'CPU#0\\r\\nRFL=00000202 HLT=0\\r\\n\\r\\n'\n"
            "                                 'CPU#1\\r\\nRFL=00000202 HLT=1\\r\\n',\n"
            "            'info lapic 1': 'IRR\\t 72 250\\r\\n\\r\\nTPR 0x00 PPR 0x00\\r\\n'}[\n"
            "        order['arguments']['command-line']]\n"
            "    os.write(ports['monitor'], json.dumps(\n"
            "        {'return': text, 'id': order['id']}).encode() + b'\\n')\n"
            f"    {says}\n", total=12)

    def test_a_processor_that_the_emulator_forgot(self):
        outcome = self.run_halted("pass")
        self.assertEqual(outcome.end, "halted")
        self.assertIn("processor 1 halts although interrupts are pending: 72, 250",
                      outcome.reason)

    def test_a_machine_that_speaks_has_no_such_processor(self):
        self.assertEqual(self.run_halted("log('a word\\n')").end, "timeout")

    def test_a_step_that_fails(self):
        outcome = self.run_script("tell('step xenstored'); tell('failed xenstored: status 1'); "
                                  "time.sleep(60)")
        self.assertEqual((outcome.end, outcome.stage), ("failed", "xenstored"))
        self.assertIn("status 1", outcome.reason)

    def test_a_step_that_fails_in_the_domu(self):
        outcome = self.run_script(f"domu('{WORD} failed no module;\\n'); time.sleep(60)")
        self.assertEqual(outcome.end, "failed")
        self.assertIn("no module", outcome.reason)

    def test_the_screen_is_saved_while_the_guest_waits(self):
        """A request that comes twice is obeyed once and answered twice."""
        self.run_script(
            "import json\n"
            "orders, answers = said('monitor'), said('run')\n"
            "tell('run'); tell('screen first 77')\n"
            "assert json.loads(orders.readline())['execute'] == 'qmp_capabilities'\n"
            "os.write(ports['monitor'], b'{\"QMP\": {}}\\n{\"return\": {}}\\n')\n"
            "for form in ('ppm', 'png'):\n"
            "    order = json.loads(orders.readline())\n"
            "    assert order['arguments']['format'] == form\n"
            "    open(order['arguments']['filename'], 'wb').write(f'the {form}'.encode())\n"
            "    os.write(ports['monitor'], json.dumps(\n"
            "        {'return': {}, 'id': order['id']}).encode() + b'\\n')\n"
            "run(answers.readline().encode())\n"
            "tell('screen first 77')\n"
            "run(answers.readline().encode())\n"
            "tell('exit 0'); time.sleep(60)")
        self.assertEqual(b"".join(self.chunks), b"screen first 77 taken\n" * 2)
        self.assertEqual(self.screens, [("first", b"the ppm", b"the png")])

    def test_a_screen_that_cannot_be_saved(self):
        self.run_script(
            "import json\n"
            "orders, answers = said('monitor'), said('run')\n"
            "tell('screen first 77'); orders.readline(); order = json.loads(orders.readline())\n"
            "os.write(ports['monitor'], json.dumps(\n"
            "    {'error': {'desc': 'no console'}, 'id': order['id']}).encode() + b'\\n')\n"
            "run(answers.readline().encode())\n"
            "tell('exit 0'); time.sleep(60)")
        self.assertEqual(b"".join(self.chunks), b"screen first 77 no console\n")
        self.assertEqual(self.screens, [])

    def test_a_request_cannot_name_another_folder(self):
        outcome = self.run_script("tell('screen ../etc 77'); tell('exit 0'); time.sleep(60)")
        self.assertEqual(outcome.end, "exit")
        self.assertEqual(self.screens, [])

    def run_suspended(self, answer):
        """A machine that is suspended to RAM, whose emulator gives ANSWER when it is to wake up."""
        return self.run_script(
            "import json\n"
            "orders = said('monitor')\n"
            "tell('run')\n"
            "assert json.loads(orders.readline())['execute'] == 'qmp_capabilities'\n"
            "os.write(ports['monitor'], b'{\"QMP\": {}}\\n{\"return\": {}}\\n'\n"
            "         b'{\"event\": \"STOP\"}\\n{\"event\": \"SUSPEND\"}\\n')\n"
            "order = json.loads(orders.readline())\n"
            "assert order['execute'] == 'system_wakeup'\n"
            f"os.write(ports['monitor'], json.dumps({answer} | {{'id': order['id']}}).encode()\n"
            "         + b'\\n{\"event\": \"WAKEUP\"}\\n')\n"
            "time.sleep(0.5); tell('exit 0'); time.sleep(60)")

    def test_a_suspended_machine_is_woken_up(self):
        outcome = self.run_suspended("{'return': {}}")
        self.assertEqual((outcome.end, outcome.status), ("exit", 0))
        self.assertEqual(self.texts("boot"), [
            "run ", "the machine is suspended to RAM: waking it up", "exit 0"])

    def test_a_suspended_machine_that_does_not_wake_up(self):
        outcome = self.run_suspended("{'error': {'desc': 'no wakeup'}}")
        self.assertEqual((outcome.end, outcome.reason),
                         ("died", "the suspended machine does not wake up: no wakeup"))

    def test_nothing_is_left_running(self):
        outcome = self.run_script("tell('exit 0'); time.sleep(6789)")
        self.assertEqual(outcome.end, "exit")
        self.assertEqual(subprocess.run(["pgrep", "-f", "sleep.6789"], stdout=subprocess.PIPE,
                                        check=False).stdout, b"")

    def test_the_emulator_dies_with_its_starter(self):
        """Even SIGKILL of the starter, which it cannot answer, leaves nothing behind."""
        with tempfile.TemporaryDirectory() as folder:
            mark = pathlib.Path(folder, "pid")
            fake = (PRELUDE + f"open({str(mark)!r}, 'w').write(str(os.getpid())); "
                    "time.sleep(100)")
            starter = subprocess.Popen([sys.executable, "-c", (
                "import sys\n"
                "from harness import architecture\n"
                "from harness.boot_log import Writer\n"
                "from harness.limits import BootLimits\n"
                "from harness.machine import Machine\n"
                "from xenrust.processor import Processor\n"
                f"log = Writer({str(self.path)!r})\n"
                "x86 = architecture.of(Processor.X86_64)\n"
                "Machine(x86, log, 'w', BootLimits(50)).run("
                f"lambda ports: [sys.executable, '-c', {fake!r}, str(ports)])")], cwd=QEMU_TEST,
                # A process that is killed leaves its temporary files.
                env={**os.environ, "TMPDIR": folder})
            wait_until(lambda: mark.exists() and mark.read_text())
            starter.kill()
            starter.wait()
            wait_until(lambda: has_ended(int(mark.read_text())))
