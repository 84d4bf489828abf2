# SPDX-License-Identifier: GPL-2.0
"""Boots a machine, runs a command in it and says how that ended: boot(Spec(...)) -> Result."""

import gzip
import os
import pathlib
import re
import secrets
import sys
import tempfile
from dataclasses import dataclass, field
from types import SimpleNamespace

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts/lib"))

import guest_image  # noqa: E402
import guest_kernel  # noqa: E402
import kernel_modules  # noqa: E402
import picture  # noqa: E402
import qemu_command  # noqa: E402
from boot_log import Writer, read  # noqa: E402
from machine import Machine  # noqa: E402
from verdict import DEATH_OF_A_DOMAIN, judge  # noqa: E402
from xenrust import build_root  # noqa: E402
from xenrust.cache import Cache  # noqa: E402
from xenrust.failure import Failure  # noqa: E402

TIMED_OUT, MACHINE_DIED = 124, 125
RETRIES = 2
KEPT_LOGS = 20
# The driver of what --display adds to the machine.
DISPLAY_MODULE = "bochs"
GNTDEV_MODULES = {"rust": "xen_gntdev_rust", "c": "xen-gntdev"}

# Without a command, boot shows what came up.
STATUS_COMMAND = {
    True: "xl info | grep -E '^(release|machine|nr_cpus|xen_version|xen_caps|virt_caps)' && "
          "xl list && lsmod",
    False: "uname -a && lsmod",
}


@dataclass(frozen=True)
class Spec:
    """One boot. Each field is an option of qemu-test/boot, whose --help explains it."""
    dom0: str = "pv"
    domu: str = "none"
    gntdev: str = "rust"
    events: str = "rust"
    config: str = "dom0"
    xen: bool = True
    toolstack: bool = True
    smp: int = 2
    dom0_vcpus: int | None = None
    domu_vcpus: int = 1
    mem: int | None = None
    domu_mem: int | None = None
    add: tuple = ()
    run: str | None = None
    domu_add: tuple = ()
    domu_run: str | None = None
    cmdline: str = ""
    domu_cmdline: str = ""
    xen_cmdline: str = ""
    timeout: float | None = 300
    log: str | None = None
    shell: bool = False
    display: bool = False
    # Not options: the command makes domains of any type; end as soon as the kernel of one of all
    # domains dies; the file of a module that takes the place of the kernel's own C driver; the
    # places in the kernel, by address and size, of which the log has each block of instructions
    # that is run; the machine's clocks go on by a nanosecond for each instruction that it runs; the
    # root of a Debian system that has the kernel installed, and the driver built by itself.
    makes_domains: bool = False
    end_at_death: bool = False
    c_module: str | None = None
    trace: tuple = ()
    instruction_clock: bool = False
    system: str | None = None

    def describe(self):
        if not self.xen:
            return f"kernel {self.config} without Xen"
        names = {"pv": "PV", "pvh": "PVH"}
        guests = f"{names[self.dom0]} dom0"
        if self.domu != "none":
            guests += f" and {names[self.domu]} domU"
        kernel = "" if self.config == "dom0" else f", {self.config} kernel"
        driver = {"rust": "Rust", "c": "changed C" if self.c_module else "C"}[self.gntdev]
        events = {"rust": "", "c": ", C events", "2-level": ", 2-level events"}[self.events]
        vcpus = f", {self.dom0_vcpus} vCPUs in dom0" if self.dom0_vcpus else ""
        if self.domu != "none" and self.domu_vcpus > 1:
            vcpus += f", {self.domu_vcpus} in the domU"
        return f"{guests}{kernel}, {driver} gntdev{events}{vcpus}"


@dataclass
class Result:
    """How a boot ended."""
    # "exit", "left" (a shell, by Ctrl-^), "timeout", "died" or "emulator".
    kind: str
    # The command's own status, or TIMED_OUT, or MACHINE_DIED.
    status: int
    # What the command printed, in the last attempt.
    stdout: bytes
    attempts: int
    log: pathlib.Path
    # Why, for a person.
    reason: str
    # (reason, log) of each attempt that the emulator's own faults ended.
    deaths: list = field(default_factory=list)
    # (step, seconds since the emulator's start), for those who measure.
    steps: list = field(default_factory=list)
    # By name, the PNG files of what take-screen found on the screen.
    screens: dict = field(default_factory=dict)
    seconds: float = 0.0

    def last_lines(self, count=40):
        """The end of the log: what the machine said last, without our own words."""
        lines = [line for line in read(self.log) if line.source != "boot"]
        return [f"{line.source:4} | {line.text}" for line in lines[-count:]]


def boot(spec, on_output=lambda chunk: None, on_progress=lambda text: None, terminal=None,
         retries=RETRIES):
    """Boot as SPEC says; ON_OUTPUT gets the command's output as it comes, ON_PROGRESS texts for
    the person who waits, TERMINAL is where --shell reads from. RETRIES says how often the machine
    is started anew when it died by the emulator's fault."""
    cache = Cache()
    cache.make_folders()
    log_path = pathlib.Path(spec.log) if spec.log else _next_log(cache.log)
    deaths = []
    with tempfile.TemporaryDirectory(prefix="xen-image-") as folder:
        word = "boot-" + secrets.token_hex(8)
        files = _prepare(cache, spec, word, pathlib.Path(folder))
        while True:
            # Whatever an attempt that died took is not what is asked for.
            screens = {}
            outcome, verdict, steps = _attempt(cache, spec, word, files, log_path, terminal,
                                               on_output, on_progress, screens)
            if verdict.kind != "emulator" or len(deaths) == retries:
                break
            kept = log_path.with_name(f"{log_path.name}.death-{len(deaths) + 1}")
            log_path.replace(kept)
            deaths.append((verdict.reason, kept))
            on_progress(f"emulator death ({verdict.reason}) after {outcome.seconds:.1f} s, not a "
                        f"failure of the command: retry {len(deaths)} of {retries}; log {kept}")
    status = {"exit": outcome.status, "left": outcome.status,
              "timeout": TIMED_OUT}.get(verdict.kind, MACHINE_DIED)
    reason = verdict.reason
    if verdict.kind == "emulator":
        reason = f"emulator death ({reason})"
        if retries:
            reason += f" in each of {retries + 1} attempts"
    return Result(verdict.kind, status, bytes(outcome.output), len(deaths) + 1, log_path, reason,
                  deaths, steps, screens, outcome.seconds)


def _attempt(cache, spec, word, files, log_path, terminal, on_output, on_progress, screens):
    log = Writer(log_path)
    steps = []

    def on_step(text):
        steps.append((text, log.elapsed()))
        on_progress(f"{log.elapsed():6.1f} s  {text}")

    def on_screen(name, ppm):
        path = log_path.with_name(f"{log_path.stem}-{name}.png")
        path.write_bytes(picture.to_png(picture.read_ppm(ppm)))
        screens[name] = path

    def command(ports):
        argv = qemu_command.command(spec, files, ports)
        log.add("boot", f"{spec.describe()}: {' '.join(argv)}")
        return build_root.command(cache, argv, cwd="/", binds=[ports, files.folder])

    try:
        machine = Machine(log, word, on_output, on_step, terminal, on_screen,
                          DEATH_OF_A_DOMAIN if spec.end_at_death else None)
        outcome = machine.run(command, spec.timeout)
        verdict = judge(outcome, log.lines, qemu_command.uses_svm(spec))
        log.add("boot", f"end: {verdict.kind}: {verdict.reason}")
    finally:
        log.close()
    return outcome, verdict, steps


def _prepare(cache, spec, word, folder):
    """Put together all files that the machine starts from."""
    kernel = (guest_kernel.find_installed(pathlib.Path(spec.system), spec.config) if spec.system
              else guest_kernel.find(cache, spec.config))
    files = SimpleNamespace(folder=folder, kernel=kernel.image, initramfs=folder / "initramfs",
                            xen=folder / "xen")
    modules, display_modules = _modules(kernel, spec)
    settings = {
        "WORD": word, "DOM0_TYPE": spec.dom0, "DOMU_TYPE": spec.domu, "GNTDEV": spec.gntdev,
        "GNTDEV_MODULE": GNTDEV_MODULES[spec.gntdev], "EVENTS": spec.events,
        "EVENTS_ARGUMENTS": qemu_command.EVENTS_ARGUMENTS[spec.events],
        # For the domains that the command makes.
        "DOMU_MEMORY": str(kernel.domu_memory),
        "SHELL_WANTED": "yes" if spec.shell else "no",
        "TOOLSTACK": "yes" if spec.toolstack else "no",
        "PLATFORM_MODULES": " ".join(kernel.platform_modules),
        "DISPLAY_MODULES": " ".join(module.stem for module in display_modules),
    }
    command = spec.run or STATUS_COMMAND[spec.xen and spec.toolstack]
    if not spec.xen:
        image = guest_image.build_without_xen(cache.build_root, settings,
                                              modules + display_modules, command, spec.add)
    else:
        files.xen.write_bytes(_hypervisor(cache.build_root))
        domu = None
        if spec.domu != "none":
            memory = spec.domu_mem or kernel.domu_memory
            domu = (qemu_command.domu_configuration(spec, memory), files.kernel,
                    guest_image.build_domu(cache.build_root, settings, modules, spec.domu_run,
                                           spec.domu_add))
        image = guest_image.build_dom0(cache.build_root, settings, modules + display_modules,
                                       command, spec.add, domu)
    files.initramfs.write_bytes(image)
    return files


def _modules(kernel, spec):
    """The modules that all guests get, and those that a display takes in the order in which they
    are loaded: none if there is no display, because they would only make the images larger."""
    modules = kernel.modules
    wanted = GNTDEV_MODULES[spec.gntdev]
    if spec.xen and wanted not in [module.stem for module in modules]:
        raise Failure(f"{kernel.title} has no module {wanted}; scripts/build-kernel "
                      f"--config {spec.config} builds it")
    display = kernel_modules.with_needs(DISPLAY_MODULE, modules)
    if spec.display and not display:
        raise Failure(f"{kernel.title} has no module {DISPLAY_MODULE}; scripts/build-kernel "
                      f"--config {spec.config} builds it")
    display = display or []
    others = [module for module in modules if module not in display]
    if spec.c_module:
        changed = pathlib.Path(spec.c_module)
        others = [changed if module.name == changed.name else module for module in others]
    return others, display if spec.display else []


def _hypervisor(root):
    """The hypervisor of the build root, unpacked: QEMU's loader does not unpack."""
    images = sorted((root / "boot").glob("xen-*-amd64.gz"))
    if not images:
        raise Failure("the build root has no Xen; run scripts/build-root to bring it up to date")
    return gzip.decompress(images[-1].read_bytes())


def _next_log(folder):
    """A new log file; the oldest ones make room, and the pictures beside them."""
    pattern = re.compile(r"boot-(\d+)(\.log(\.death-\d)?|-[\w-]+\.png)")
    numbers = {}
    for path in folder.iterdir():
        match = pattern.fullmatch(path.name)
        if match:
            numbers.setdefault(int(match[1]), []).append(path)
    for number in sorted(numbers)[:-(KEPT_LOGS - 1)]:
        for path in numbers[number]:
            path.unlink(missing_ok=True)
    number = max(numbers, default=0)
    while True:
        number += 1
        path = folder / f"boot-{number}.log"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            return path
        except FileExistsError:
            continue
