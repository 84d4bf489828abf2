# SPDX-License-Identifier: GPL-2.0
"""What there is to test, and how each part of it is run and counted."""

import collections
import dataclasses
import json
import re
import subprocess
import sys
from dataclasses import dataclass

import boot
import boot_log
import deb_suite
import event_path
import guest_kernel
import ktap
import log_check
import picture
import verdict
from ktap import FAILED, PASSED, SKIPPED, Test
from xenrust import build_root, guest, kernel, kernel_source
from xenrust.cache import REPOSITORY, Cache

CONFIGS = REPOSITORY / "qemu-test" / "configs"
UNIT_TESTS = ("scripts/tests", "qemu-test/tests")
KUNIT_MODULES = ("xen_gntdev_rust_kunit", "xen_evtchn_fifo_rust_kunit")

# Seconds. Far more than is needed: they end what hangs.
UNIT_TEST_LIMIT = 300
CARGO_LIMIT = 1800
CLIENTS_LIMIT = 2400
DEBIAN_CLIENTS_LIMIT = 4800
BOOT_LIMIT = {"dom0": 900, "lockdep": 1800, "debian": 1800}

# So often the emulator may die in one test, and in all suites of a boot. On a busy machine it dies
# about once a minute under a PVH dom0; a fault of ours in one test would kill it each time.
DEATHS_OF_A_TEST = 8
MOST_DEATHS = 60


@dataclass(frozen=True)
class Context:
    """What all suites of a run have in common."""
    config: str
    gntdev: str
    events: str
    # Called with each result as it comes, with what belongs to the results besides, and with texts
    # for the person who waits.
    on_test: callable
    on_note: callable
    on_progress: callable

    @property
    def cache(self):
        return Cache()

    @property
    def family(self):
        """What is the same for all of Debian's kernels goes by one name."""
        return "debian" if guest_kernel.is_debian(self.config) else self.config


def unit_tests(context):
    """The unit tests of the scripts and of the harness, on this machine's Python."""
    tests = []
    for folder in UNIT_TESTS:
        suite = ktap.Suite(folder)
        command = [sys.executable, str(REPOSITORY / "qemu-test/lib/unittest_ktap.py"),
                   str(REPOSITORY / folder)]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                text=True, check=False, timeout=UNIT_TEST_LIMIT)
        for line in result.stdout.splitlines():
            _tell(context, suite.feed(line))
        tests += suite.finish(result.returncode)
    return tests


CARGO_BEGIN = re.compile(r"running (\d+) tests?")
CARGO_RESULT = re.compile(r"test (\S+)(?: - .*)? \.\.\. (ok|FAILED|ignored)(?:, (.*))?")
# What tests of the event channels' state machine say of how much they tried.
CARGO_EXTENT = re.compile(r"(explored|found in interleaving|compared) \d+\b.*")


def cargo_tests(context):
    """The unit tests of the guest programs, in the build root."""
    cache = context.cache
    build_root.ensure(cache)
    tests = []
    for workspace in guest.WORKSPACES:
        log = cache.log / f"guest-tests-{workspace.name}.log"
        with cache.lock("guest"):
            result = subprocess.run(
                build_root.command(cache, ["cargo", "test", "--release", "--locked", "--",
                                           "--show-output"], cwd=workspace),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, check=False, timeout=CARGO_LIMIT)
        log.write_text(result.stdout, encoding="utf-8")
        tests += read_cargo_tests(result.stdout, result.returncode, f"log {log}",
                                  lambda test: _tell(context, test))
        for line in extents(result.stdout):
            context.on_note(line)
    return tests


def extents(output):
    """What the tests in the output of `cargo test` say of how much they tried, and the sum."""
    lines = [line for line in output.splitlines() if CARGO_EXTENT.fullmatch(line)]
    explored = sum(int(line.split()[1]) for line in lines if line.startswith("explored"))
    if explored:
        lines.append(f"explored {explored} interleavings in all")
    return lines


def read_cargo_tests(output, status, hint, on_test):
    """The results in what `cargo test` printed."""
    outcomes = {"ok": PASSED, "FAILED": FAILED, "ignored": SKIPPED}
    tests, planned = [], 0
    for line in output.splitlines():
        begin = CARGO_BEGIN.fullmatch(line)
        result = CARGO_RESULT.fullmatch(line)
        if begin:
            planned += int(begin[1])
        elif result:
            test = Test(result[1], outcomes[result[2]], result[3] or "")
            tests.append(test)
            on_test(test)
    failed = any(test.outcome == FAILED for test in tests)
    if not planned or planned != len(tests) or failed != (status != 0):
        tests.append(Test("the programs' tests as a whole", FAILED,
                          f"{planned} tests announced, {len(tests)} results, cargo's status "
                          f"{status}; {hint}"))
    return tests


def kunit(context):
    """The KUnit suites, on the kernel alone."""
    cache = context.cache
    kernel.ensure(cache, context.config)
    load = " && ".join(f"insmod /lib/modules/{module}.ko" for module in KUNIT_MODULES)
    spec = boot.Spec(xen=False, config=context.config, run=load,
                     timeout=BOOT_LIMIT[context.config])
    result = boot.boot(spec, on_progress=context.on_progress)
    lines = boot_log.read(result.log)
    # At boot KUnit announces a plan of its own, of the suites in the kernel: none.
    begin = max((number for number, line in enumerate(lines)
                 if line.source == "boot" and line.text.strip() == "run"), default=0)
    text = "\n".join(line.text for line in lines[begin:] if line.source == "dom0")
    reports = kunit_reports(text)
    tests = [test for report in reports for test in _read_kunit(cache, report, result)]
    if len(reports) != len(KUNIT_MODULES):
        tests.append(Test("all KUnit modules", FAILED,
                          f"{len(reports)} reports of {len(KUNIT_MODULES)} modules; "
                          f"{result.reason}; log {result.log}"))
    for test in tests:
        _tell(context, test)
    return tests + _check_log(context, result)


# What the report of a module begins with. Those of the suites in it are indented.
KUNIT_REPORT = re.compile(r"^(?=(?:\[ *\d+\.\d+\] )?KTAP version \d)", re.M)


def kunit_reports(text):
    """The reports of the modules in a kernel's log: kunit.py reads one and ignores the rest."""
    return KUNIT_REPORT.split(text)[1:]


def _read_kunit(cache, text, result):
    """The results in a kernel's log, as the kernel tree's own tool finds them."""
    tool = kernel_source.ensure(cache) / "tools/testing/kunit/kunit.py"
    answer = cache.log / "kunit.json"
    answer.unlink(missing_ok=True)
    parsed = subprocess.run(
        build_root.command(cache, ["python3", tool, "parse", f"--json={answer}"], cwd=cache.log),
        input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=UNIT_TEST_LIMIT)
    try:
        tests = list(kunit_results(json.loads(answer.read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        tests = []
    failed = any(test.outcome == FAILED for test in tests)
    if result.status or not tests or failed != (parsed.returncode != 0):
        tests.append(Test("KUnit as a whole", FAILED,
                          f"{len(tests)} results; kunit.py ended with status {parsed.returncode}; "
                          f"{result.reason}; log {result.log}"))
    return tests


def kunit_results(group):
    """The results in kunit.py's JSON: each group has test cases and groups below it."""
    outcomes = {"PASS": PASSED, "SKIP": SKIPPED}
    for case in group["test_cases"]:
        yield Test(f"{group['name']}: {case['name']}", outcomes.get(case["status"], FAILED),
                   case["status"])
    for inner in group["sub_groups"]:
        yield from kunit_results(inner)


def paravirtual(context):
    """A PV dom0 maps its own grants, and those of a PV domU, and makes dma-bufs of both."""
    # The last rule of gntdev-domu ends the domU.
    return _boot_gntdev(context, "pv", "pv",
                        ["gntdev-self", "dmabuf-self", "dmabuf-domu", "gntdev-domu"])


def auto_translated(context):
    """A PVH dom0 maps the grants of a PVH domU, and makes dma-bufs of them."""
    return _boot_gntdev(context, "pvh", "pvh", ["dmabuf-domu", "gntdev-domu"])


# What lives on the device, and the command that tries it. The first ones are the shortest.
CLIENTS = {
    "client-tools": "client-tools",
    "module-unload": "domu-run module-unload",
    "client-vchan": "client-vchan",
    "client-saved": "client-saved",
    "client-daemons": "client-daemons",
    "client-death": "client-death",
    "client-disk": "client-disk",
}
CLIENT_PROGRAMS = ("client-tools", "domu-run", "client-vchan", "vchan-end", "client-saved",
                   "client-daemons", "client-death", "client-disk")
# All domains of these suites start from one image. A shell answers on its console.
CLIENT_DOMU = "sh </dev/hvc0 >/dev/hvc0 2>&1 & agent"
CLIENT_DOMU_PROGRAMS = ("agent", "granter", "module-unload", "vchan-end", "disk-check")
# The console of the domains that the suites make goes the way of the first domU's.
CLIENT_SETUP = "ln -s guest-domU.log /var/log/xen/console/guest-client.log"
# QEMU as a back end, and what it does not start without even when it shows nothing.
QEMU = ("usr/libexec/xen-qemu-system-i386", "usr/share/qemu/keymaps/en-us")
WITHOUT_COPY = "libwithout_grant_copy.so"


def clients_of_paravirtual(context):
    """The toolstack, QEMU's disks and libxenvchan in a PV dom0, with PV and PVH domUs."""
    return _boot_clients(context, "pv")


def clients_of_auto_translated(context):
    """The toolstack, QEMU's disks and libxenvchan in a PVH dom0, with PV and PVH domUs."""
    return _boot_clients(context, "pvh")


def _boot_clients(context, dom0):
    programs = guest.ensure(context.cache)
    # Debian's kernel is larger, and the suites start it a hundred times.
    limit = DEBIAN_CLIENTS_LIMIT if context.family == "debian" else CLIENTS_LIMIT
    # By a clock of instructions the emulator has one thread, on which domains seldom die of it.
    spec = boot.Spec(
        dom0=dom0, domu="pv", domu_run=CLIENT_DOMU, timeout=limit, makes_domains=True,
        instruction_clock=dom0 == "pvh",
        add=(*_programs(programs, CLIENT_PROGRAMS),
             *((str(context.cache.build_root / path), f"/{path}") for path in QEMU),
             (str(programs / WITHOUT_COPY), f"/usr/local/lib/{WITHOUT_COPY}")),
        domu_add=_programs(programs, CLIENT_DOMU_PROGRAMS))
    return _boot(context, spec, CLIENTS, CLIENT_SETUP)


# It grants 64 MiB and has as much of dom0's mapped.
GNTDEV_DOMU_MEMORY = 256

# Each suite of event channels in its forms. The long ones:
LONG_STORM = "event-storm --ports 6000 --seconds 60"
# Processors go and come back this often in all.
ALL_CYCLES = "event-channels --cycles 200"
# Three pages of the event array.
ALL_SAVED = "event-saved --ports 3000"
SHORT_STORM = "event-storm --ports 1500 --seconds 9"
# Four processors in turn on two of this machine's take their time.
CROWDED_STORM = "event-storm --ports 600 --seconds 6"
# The 2-level ABI has 4,096 ports.
TWO_LEVEL_STORM = "event-storm --ports 3000 --seconds 9"
# Under a PVH dom0 the machine may die in any minute, and then a test begins anew: each is short.
FEW_CYCLES = "event-channels --cycles 32"
# The same work as the long ones, in tests that are short.
PARTED_STORM = f"{LONG_STORM} --parts 6"
PARTED_CYCLES = f"{ALL_CYCLES} --parts 8"
# The kernel that checks its locks takes its time.
CHECKED_STORM = "event-storm --ports 300 --seconds 6"
CHECKED_CYCLES = "event-channels --cycles 8"
EVENT_PROGRAMS = ("event-storm", "event-channels", "event-saved")
EVENT_DOMU_PROGRAMS = ("agent", "event-peer", "event-cpus")
# Interrupts of thousands of ports take memory, and so do those of a domain that was restored.
EVENT_DOMU_MEMORY = 256
# Without this a domU's programs may make no hypercalls of their own, such as to set priorities.
EVENT_DOMU_CMDLINE = "xen_privcmd.unrestricted=1"
# Xen's list of all ports is long.
EVENT_XEN = "conring_size=1M"


def events_of_paravirtual(context):
    """Event channels between a PV dom0 and a PV domU, of 1, 2 and 4 vCPUs each, and between it and
    a PVH domU."""
    return (_boot_all_events(context, "pv", {
                "event-storm": LONG_STORM,
                "event-channels": ALL_CYCLES,
                "event-saved": ALL_SAVED,
            })
            + _boot_events(context, "pv", 2, {"event-storm": TWO_LEVEL_STORM}, events="2-level")
            + _boot_events(context, "pv", 2, {
                "event-storm": PARTED_STORM,
                "event-channels": PARTED_CYCLES,
            }, domu="pvh"))


def events_of_auto_translated(context):
    """Event channels between a PVH dom0 and a PVH domU, of 1, 2 and 4 vCPUs each, in short."""
    tests = _boot_all_events(context, "pvh", {
        "event-storm": SHORT_STORM,
        "event-channels": FEW_CYCLES,
    })
    # To save a PVH domU takes minutes: its addresses are looked through up to 4 GiB. On one thread
    # the emulator mostly lives for it.
    return tests + _boot_events(context, "pvh", 2, {"event-saved": ALL_SAVED},
                                instruction_clock=True)


def long_events_of_auto_translated(context):
    """Event channels between a PVH dom0 and a PVH domU, as long as between PV ones."""
    context = dataclasses.replace(context, config="dom0")
    return _boot_all_events(context, "pvh", {
        "event-storm": PARTED_STORM,
        "event-channels": PARTED_CYCLES,
    })


def events_with_checks(context):
    """Event channels between a PV dom0 and a PV domU of 2 vCPUs each, in short."""
    return _boot_events(context, "pv", 2, {
        "event-storm": CHECKED_STORM,
        "event-channels": CHECKED_CYCLES,
    })


def _boot_all_events(context, guests, commands):
    """The COMMANDS with 2 vCPUs, and short storms with less and with more."""
    tests = _boot_events(context, guests, 2, commands)
    for vcpus, short in ((1, SHORT_STORM), (4, CROWDED_STORM)):
        tests += _boot_events(context, guests, vcpus, {"event-storm": short})
    return tests


def _boot_events(context, dom0, vcpus, commands, domu=None, events=None, instruction_clock=False):
    """The machine has a second processor also where the guests have one. A PV dom0 has no more
    processors than the machine's tables tell of."""
    programs = guest.ensure(context.cache)
    spec = boot.Spec(
        dom0=dom0, domu=domu or dom0, smp=max(2, vcpus), dom0_vcpus=vcpus, domu_vcpus=vcpus,
        domu_mem=EVENT_DOMU_MEMORY, domu_run=CLIENT_DOMU, domu_cmdline=EVENT_DOMU_CMDLINE,
        timeout=CLIENTS_LIMIT, xen_cmdline=EVENT_XEN, instruction_clock=instruction_clock,
        add=_programs(programs, EVENT_PROGRAMS),
        domu_add=_programs(programs, EVENT_DOMU_PROGRAMS))
    return _boot(context, spec, commands, CLIENT_SETUP, events)


def path_of_an_event(context):
    """The instructions that an event takes in the port operations in Rust, and in those in C."""
    cache = context.cache
    kernel.ensure(cache, context.config)
    image = cache.kernel / context.config / "vmlinux"
    symbols = _print(cache, "nm", "-S", image)
    paths, tests = {}, []
    for events in ("c", "rust"):
        functions, handler = event_path.find(symbols, events)
        spec = boot.Spec(dom0="pv", smp=1, events=events, config=context.config, toolstack=False,
                         run="true", timeout=BOOT_LIMIT[context.config],
                         trace=tuple((function.start, function.size) for function in functions))
        result = boot.boot(spec, on_progress=context.on_progress)
        log = boot_log.read(result.log)
        paths[events] = event_path.cost((line.text for line in log if line.source == "qemu"),
                                        functions, handler)
        context.on_note(f"an event in {events}: {paths[events]}; log {result.log}")
        tests += _check_log(context, result)
    (function,), _ = event_path.find(symbols, "rust")
    strangers = event_path.strangers(
        _print(cache, "objdump", "-d", "--no-show-raw-insn", f"--disassemble={function.name}",
               image), function)
    checks = {
        "an event takes no more instructions than in C":
            paths["rust"].instructions <= paths["c"].instructions,
        "an event takes no more locked instructions than in C":
            paths["rust"].locked <= paths["c"].locked,
        "no panic, and no call but that of the interrupts' handler": not strangers,
    }
    reason = "\n".join([*(f"{events}: {path}" for events, path in paths.items()), *strangers])
    for name, good in checks.items():
        tests.append(Test(name, PASSED if good else FAILED, "" if good else reason))
        _tell(context, tests[-1])
    return tests


def _print(cache, *command):
    """What COMMAND prints in the build root."""
    return subprocess.run(build_root.command(cache, command, cwd="/"), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=True,
                          timeout=UNIT_TEST_LIMIT).stdout


def samples_of_paravirtual(context):
    """A PV dom0 reads a PV domU's memfd and shows its picture on a screen; its card imports grants
    and has its own memory granted."""
    return _boot_samples(context, "pv") + _boot_gntdev(context, "pv", "pv", CARD, display=True)


def samples_of_auto_translated(context):
    """The same in a PVH dom0, with a PVH domU."""
    return _boot_samples(context, "pvh") + _boot_gntdev(context, "pvh", "pvh", CARD, display=True)


CARD = ["dmabuf-card"]
# The looks before and after prove that the comparison can fail.
SAMPLES = """
set -e
echo "domain $DOMU"
share-memfd read $DOMU
take-screen before
show-frame scan-out $DOMU take-screen during
take-screen after
"""
SAMPLES_IN_DOMU = "share-memfd grant & show-frame draw; wait"


def _boot_samples(context, guests):
    if context.gntdev == "c":
        return _skip(context, "the samples", "Linux's C driver cannot export a dma-buf on x86")
    programs = guest.ensure(context.cache)
    guest_kernel.ensure(context.cache, context.config)
    spec = boot.Spec(
        dom0=guests, domu=guests, gntdev=context.gntdev, events=context.events,
        config=context.config, display=True,
        timeout=BOOT_LIMIT[context.family], run=SAMPLES.strip(), domu_run=SAMPLES_IN_DOMU,
        add=_programs(programs, ["share-memfd", "show-frame"]),
        domu_add=_programs(programs, ["share-memfd", "show-frame"]))
    result = boot.boot(spec, on_progress=context.on_progress)
    context.on_progress(f"{spec.describe()}: {result.seconds:.0f} s, log {result.log}")
    tests = read_samples(result, lambda domid: _expected_picture(context.cache, programs, domid))
    for test in tests:
        _tell(context, test)
    return tests + _check_log(context, result)


def _expected_picture(cache, programs, domid):
    """The picture as the same program draws it here, where it is only a file."""
    drawn = subprocess.run(
        build_root.command(cache, [programs / "show-frame", "ppm", domid], cwd="/"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=UNIT_TEST_LIMIT)
    return picture.read_ppm(drawn.stdout)


SAMPLES_DOMAIN = re.compile(r"^domain (\d+)$", re.M)
MEMFD_LINES = (r"^grant \d+: page 3 of a memfd of domain {}$",
               r"^grant \d+: the same page, after the domU has changed it$")


def read_samples(result, expect):
    """What the samples' boot came to. EXPECT draws the picture of a domain."""
    output = result.stdout.decode(errors="replace").replace("\r", "")
    where = f"{result.reason}; log {result.log}"
    domid = SAMPLES_DOMAIN.search(output)
    if not domid:
        return [Test("the samples as a whole", FAILED, f"did not run: {where}")]
    expected = expect(domid[1])
    screens = {name: picture.read_png(path.read_bytes()) for name, path in result.screens.items()}

    def shows(name):
        """None if the screen showed the picture, else what it showed."""
        return (picture.difference(screens[name], expected) if name in screens
                else f"nobody took it: {where}")

    checks = {
        "dom0 reads the domU's memfd, and what the domU changes there": None if all(
            re.search(line.format(domid[1]), output, re.M) for line in MEMFD_LINES) else where,
        "the screen shows what the domU drew, pixel by pixel": shows("during"),
    }
    for name in ("before", "after"):
        other = name in screens and shows(name)
        checks[f"the screen shows something else {name}"] = (
            None if other else f"it shows the picture, or nobody took it: {where}")
    checks["both sides end, and all grants with them"] = None if result.status == 0 else where
    return [Test(name, FAILED if reason else PASSED, reason or "")
            for name, reason in checks.items()]


def _boot_gntdev(context, dom0, domu, suites, display=False):
    programs = guest.ensure(context.cache)
    spec = boot.Spec(
        dom0=dom0, domu=domu, domu_run="granter", domu_mem=GNTDEV_DOMU_MEMORY,
        timeout=BOOT_LIMIT[context.family], display=display,
        add=_programs(programs, suites), domu_add=_programs(programs, ["granter"]))
    return _boot(context, spec, {name: name for name in suites})


def _programs(folder, names):
    return tuple((str(folder / name), None) for name in names)


def _boot(context, spec, commands, setup="true", events=None):
    """Boot and run the COMMANDS, by names of suites, one after the other in dom0. EVENTS takes the
    place of the port operations that the person wants.

    When the emulator dies, the next boot goes on with the test that it died in; the results before
    stay. No test is tried more than DEATHS_OF_A_TEST times, so one that kills the machine by itself
    fails.
    """
    if not spec.system:
        guest_kernel.ensure(context.cache, context.config)
    spec = dataclasses.replace(spec, gntdev=context.gntdev, config=context.config,
                               events=events or context.events, end_at_death=True)
    output = ktap.Output(commands)
    deaths = collections.Counter()
    while True:
        left = output.left()
        spec = dataclasses.replace(spec, run=_script(setup, commands, left))
        live = _Live(context, commands)
        result = boot.boot(spec, on_output=live.take, on_progress=context.on_progress, retries=0)
        context.on_progress(f"{spec.describe()}: {result.seconds:.0f} s, log {result.log}")
        for line in results_before_death(boot_log.read(result.log), result.stdout):
            output.feed(line)
        if result.kind != "emulator" or not output.left():
            break
        suite, first = output.left()[0]
        deaths[suite, first] += 1
        if deaths[suite, first] == DEATHS_OF_A_TEST or deaths.total() == MOST_DEATHS:
            break
        context.on_progress(f"{result.reason}, not a failure of a test: going on with test "
                            f"{first} of {suite}, try {deaths[suite, first] + 1} of at most "
                            f"{DEATHS_OF_A_TEST}")
        output.resume()
    tests = output.finish()
    if result.status:
        tests.append(Test("the machine", FAILED, f"{result.reason}; log {result.log}"))
    return tests + _check_log(context, result)


def _script(setup, commands, left):
    """What dom0 runs: the suites that are LEFT, each from its first test without a result."""
    steps = [f"echo '{ktap.begin_mark(name)}'; FIRST_CASE={first} {commands[name]}; "
             f"echo \"{ktap.end_mark(name, '$?')}\"" for name, first in left]
    return "\n".join([setup, *steps, "exit 0"])


def results_before_death(lines, stdout):
    """The whole lines of the command's output in a log that came before a triple fault, if there
    is one: a test that fails after its domain died says nothing."""
    death = next((number for number, line in enumerate(lines)
                  if verdict.TRIPLE_FAULT.search(line.text)), len(lines))
    before = [line.text for line in lines[:death] if line.source == "run"]
    everything = sum(line.source == "run" for line in lines)
    if before and len(before) == everything and not stdout.endswith(b"\n"):
        before.pop()
    return before


class _Live:
    """Shows the results of a boot while it goes on."""

    def __init__(self, context, suites):
        self._context = context
        self._splitter = boot_log.Splitter()
        self._output = ktap.Output(suites)

    def take(self, chunk):
        for line in self._splitter.lines(chunk):
            _tell(self._context, self._output.feed(line))


def _check_log(context, result):
    """One result for each complaint in the log of a boot, or one that there is none."""
    baseline = CONFIGS / f"{context.family}-baseline"
    known = log_check.read_baseline(baseline) if baseline.exists() else []
    reports = log_check.unexplained(boot_log.read(result.log), known)
    tests = [Test(f"{report.source}: {report.title}", FAILED,
                  "\n".join(report.lines[:40]) + f"\nlog {result.log}") for report in reports]
    if not tests:
        tests = [Test("no complaint in the logs of the kernels and Xen", PASSED)]
    for test in tests:
        _tell(context, test)
    return tests


def _skip(context, name, reason):
    test = Test(name, SKIPPED, reason)
    _tell(context, test)
    return [test]


def _tell(context, test):
    if test:
        context.on_test(test)


CATCHES = re.compile(r"possible circular locking dependency")


def check_catches(context):
    """The debug kernel with the C driver, whose first mapping can deadlock: if its log passed for
    clean, so would that of a driver of ours."""
    cache = context.cache
    programs = guest.ensure(cache)
    kernel.ensure(cache, context.config)
    spec = boot.Spec(dom0="pv", gntdev="c", config=context.config, run="gntdev-self 'one page'",
                     add=((str(programs / "gntdev-self"), None),),
                     timeout=BOOT_LIMIT[context.config])
    result = boot.boot(spec, on_progress=context.on_progress)
    baseline = log_check.read_baseline(CONFIGS / f"{context.config}-baseline")
    reports = log_check.unexplained(boot_log.read(result.log), baseline)
    found = any(CATCHES.search(line) for report in reports for line in report.lines)
    test = Test("the log check catches the C driver's lock order", PASSED if found else FAILED,
                "" if found else f"none of {len(reports)} reports is that; log {result.log}")
    _tell(context, test)
    return [test]


def c_driver_of_debian(context):
    """On Debian's own kernel Linux's C driver has no dma-bufs; ours takes its place and has."""
    if context.gntdev == "c":
        return _skip(context, "the C driver of Debian's kernel", "its faults are what is shown")
    programs = guest.ensure(context.cache)
    names = ["dmabuf-c-driver", "dmabuf-self"]
    spec = boot.Spec(dom0="pv", toolstack=False, timeout=BOOT_LIMIT[context.family],
                     add=_programs(programs, names))
    return _boot(context, spec, {"dmabuf-c-driver": "dmabuf-c-driver",
                                 "dmabuf-self": "dmabuf-self libxengnttab"})


def debian(context):
    """Debian's own kernel as a PV dom0 without and as a PVH dom0 with a domU, in short."""
    if context.gntdev == "c":
        return _skip(context, "Debian's kernel", "the C driver has no dma-bufs there")
    context = dataclasses.replace(context, config="debian")
    programs = guest.ensure(context.cache)
    # What goes by the distribution's library is what a user of that kernel sees first.
    commands = {name: f"{name} libxengnttab" for name in ("dmabuf-domu", "gntdev-domu")}
    spec = boot.Spec(dom0="pvh", domu="pvh", domu_run="granter",
                     timeout=BOOT_LIMIT[context.family],
                     add=_programs(programs, commands), domu_add=_programs(programs, ["granter"]))
    return c_driver_of_debian(context) + _boot(context, spec, commands)


def package(context):
    """The DKMS package in a Debian system of its own, from installation to removal."""
    return deb_suite.DebSuite(context, boot_installed).run()


def boot_installed(context, release, root):
    """Debian's kernel RELEASE as a PV dom0, as it is installed in ROOT, with its driver."""
    context = dataclasses.replace(context, config=guest_kernel.debian_config(release),
                                  gntdev="rust")
    spec = boot.Spec(dom0="pv", toolstack=False, timeout=BOOT_LIMIT[context.family],
                     system=str(root),
                     add=_programs(guest.ensure(context.cache), ["dmabuf-self"]))
    return _boot(context, spec, {"dmabuf-self": "dmabuf-self libxengnttab"})


# By configuration of the kernel, in the order in which they run: the fast ones first. The package
# comes with Debian's own kernel, and what is long runs on the normal one.
SUITES = {
    "dom0": {"host": unit_tests, "programs": cargo_tests, "kunit": kunit, "pv": paravirtual,
             "pvh": auto_translated, "event-path": path_of_an_event,
             "events": events_of_paravirtual, "events-pvh": events_of_auto_translated,
             "clients": clients_of_paravirtual, "clients-pvh": clients_of_auto_translated,
             "samples": samples_of_paravirtual, "samples-pvh": samples_of_auto_translated,
             "debian": debian},
    "lockdep": {"kunit": kunit, "pv": paravirtual, "events": events_with_checks,
                "catch": check_catches},
    "debian": {"c-driver": c_driver_of_debian, "pv": paravirtual, "pvh": auto_translated,
               "clients": clients_of_paravirtual, "clients-pvh": clients_of_auto_translated,
               "samples": samples_of_paravirtual, "samples-pvh": samples_of_auto_translated},
    "package": {"deb": package},
    "long": {"events-pvh": long_events_of_auto_translated},
}
