# SPDX-License-Identifier: GPL-2.0
"""Boots a machine, runs a command in it and returns the result: boot(Spec(...)) -> Result."""

import os
import pathlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field

from xenrust import build_root
from xenrust.cache import Cache
from xenrust.failure import Failure

from . import (architecture, children, guest_arguments, guest_image, guest_kernel, kernel_modules,
               package_folder, picture)
from .architecture.base import Architecture, Files
from .boot_log import Lines, Source, Writer
from .choices import Driver, GuestType
from .coverage import blocks
from .ending import BootEnd, MachineRun
from .guest_kernel import GuestKernel
from .machine import Listeners, Machine, Screen
from .picture import Picture
from .spec import Spec
from .terminal import Terminal
from .verdict import Verdict, judge

TIMED_OUT, MACHINE_DIED = 124, 125
RETRIES = 2
KEPT_LOGS = 100
# The driver of the graphics card that --display adds to the machine.
DISPLAY_MODULE = "bochs"

# Command of a boot that has none: it shows the things that came up.
STATUS_COMMAND = {
    True: "xl info | grep -E '^(release|machine|nr_cpus|xen_version|xen_caps|virt_caps)' && "
          "xl list && lsmod",
    False: "uname -a && lsmod",
}

LOG_NAME = re.compile(r"boot-(\d+)(\.log(\.death-\d)?|-[\w-]+\.png)")


@dataclass(frozen=True)
class Death:
    """An attempt that a fault of the emulator ended."""
    reason: str
    log: pathlib.Path


@dataclass
class Result:
    """One boot as it ended."""
    end: BootEnd
    # The command's own status, or TIMED_OUT, or MACHINE_DIED.
    status: int
    # Output of the command, in the last attempt.
    stdout: bytes
    log: pathlib.Path
    # The log, parsed.
    lines: Lines
    # Reason of the end, for a person.
    reason: str
    seconds: float = 0.0
    deaths: list[Death] = field(default_factory=list)
    # Pictures of the screen by the names that take-screen was given, and their PNG files.
    screens: dict[str, Picture] = field(default_factory=dict)
    screen_files: dict[str, pathlib.Path] = field(default_factory=dict)

    def last_lines(self, count: int = 40) -> list[str]:
        """The end of the log without the harness's own words."""
        lines = [line for line in self.lines if line.source != Source.BOOT]
        return [f"{line.source:4} | {line.text}" for line in lines[-count:]]


def boot(spec: Spec, on_output: Callable[[bytes], object] = lambda chunk: None,
         on_progress: Callable[[str], object] = lambda text: None,
         terminal: Terminal | None = None, retries: int = RETRIES,
         is_enough: Callable[[], bool] = lambda: False) -> Result:
    """Boot as SPEC says. ON_OUTPUT gets the command's output as it comes, ON_PROGRESS texts for
    the person who waits, TERMINAL is the one that a shell reads from. RETRIES is the number of
    times that the machine is started anew when it died by the emulator's fault. IS_ENOUGH returns
    True when the command is to be told to end."""
    cache = Cache()
    cache.make_folders()
    log_path = pathlib.Path(spec.log) if spec.log else _next_log(cache.log)
    deaths: list[Death] = []
    with tempfile.TemporaryDirectory(prefix="xen-image-") as folder:
        attempt = _Attempt(cache, spec, pathlib.Path(folder), log_path, on_progress)
        while True:
            run, verdict, lines = attempt.start(on_output, terminal, is_enough)
            if verdict.end != BootEnd.EMULATOR or len(deaths) == retries:
                break
            kept = log_path.with_name(f"{log_path.name}.death-{len(deaths) + 1}")
            log_path.replace(kept)
            deaths.append(Death(verdict.reason, kept))
            on_progress(f"emulator death ({verdict.reason}) after {run.seconds:.1f} s, not a "
                        f"failure of the command: retry {len(deaths)} of {retries}; log {kept}")
    reason = verdict.reason
    if verdict.end == BootEnd.EMULATOR:
        reason = f"emulator death ({reason})"
        if retries:
            reason += f" in each of {retries + 1} attempts"
    return Result(verdict.end, _status(verdict.end, run), bytes(run.output), log_path, lines,
                  reason, run.seconds, deaths, attempt.screens, attempt.screen_files)


def _status(end: BootEnd, run: MachineRun) -> int:
    match end:
        case BootEnd.EXIT | BootEnd.LEFT:
            return run.status
        case BootEnd.TIMEOUT:
            return TIMED_OUT
        case BootEnd.DIED | BootEnd.EMULATOR:
            return MACHINE_DIED


class _Attempt:
    """The files of a boot, from which the machine can be started several times."""

    def __init__(self, cache: Cache, spec: Spec, folder: pathlib.Path, log_path: pathlib.Path,
                 on_progress: Callable[[str], object]) -> None:
        self._cache = cache
        self._spec = spec
        self._log_path = log_path
        self._on_progress = on_progress
        self._architecture = architecture.of(spec.processor)
        self._word = "boot-" + secrets.token_hex(8)
        self._files = _prepare(cache, spec, self._architecture, self._word, folder)

    def start(self, on_output: Callable[[bytes], object], terminal: Terminal | None,
              is_enough: Callable[[], bool]) -> tuple[MachineRun, Verdict, Lines]:
        """Start the machine and follow it to its end."""
        # Pictures of an attempt that died are not those that were asked for.
        self.screens: dict[str, Picture] = {}
        self.screen_files: dict[str, pathlib.Path] = {}
        log = Writer(self._log_path)

        def on_step(text: str) -> None:
            self._on_progress(f"{log.elapsed():6.1f} s  {text}")

        def command(ports: pathlib.Path) -> list[str]:
            argv = self._architecture.command(self._spec, self._files, ports)
            log.add(Source.BOOT, f"{self._spec.describe()}: {' '.join(argv)}")
            in_root = list(build_root.command(self._cache, argv, cwd="/",
                                              binds=[ports, self._files.folder]))
            return children.in_background(in_root) if self._spec.in_background else in_root

        listeners = Listeners(output=on_output, step=on_step, screen=self._keep_screen,
                              terminal=terminal, is_enough=is_enough)
        translated = blocks.Reader()
        if self._spec.watched:
            listeners.emulator = translated.take
        try:
            machine = Machine(self._architecture, log, self._word, self._spec.limits, listeners,
                              self._spec.end_at_death,
                              self._files.symbols if self._spec.xen else None)
            run = machine.run(command)
            verdict = judge(self._architecture, self._spec, run, log.lines,
                            self._files.symbols)
            log.add(Source.BOOT, f"end: {verdict.end}: {verdict.reason}")
        finally:
            log.close()
            if self._spec.watched:
                folder = pathlib.Path(self._spec.watched.folder)
                blocks.write(folder / f"{self._log_path.stem}{blocks.SUFFIX}", translated.blocks())
        return run, verdict, log.lines

    def _keep_screen(self, name: str, screen: Screen) -> None:
        self.screens[name] = picture.read_ppm(screen.ppm.read_bytes())
        self.screen_files[name] = self._log_path.with_name(f"{self._log_path.stem}-{name}.png")
        shutil.copyfile(screen.png, self.screen_files[name])


def _prepare(cache: Cache, spec: Spec, processor: Architecture, word: str,
             folder: pathlib.Path) -> Files:
    """Put together all files that the machine starts from."""
    kernel = (guest_kernel.find_installed(pathlib.Path(spec.system), spec.config) if spec.system
              else guest_kernel.find(cache, spec.config, spec.processor))
    files = Files(folder, kernel.image, folder / "initramfs", folder / "xen", kernel.symbols)
    modules, display_modules = (kernel.modules, []) if spec.system else _modules(kernel, spec)
    settings = {
        "WORD": word, "DOM0_TYPE": str(spec.dom0), "DOMU_TYPE": str(spec.domu),
        "GNTDEV": str(spec.gntdev), "GNTDEV_MODULE": spec.gntdev.module,
        "EVENTS": str(spec.events), "EVENTS_ARGUMENTS": spec.events.kernel_argument,
        # For the domains that the command makes.
        "DOMU_MEMORY": str(kernel.domu_memory),
        "RUN_PORT": processor.run_device, "DOMU_PORT": processor.domu_device,
        "SHELL_WANTED": "yes" if spec.shell else "no",
        "TOOLSTACK": "yes" if spec.toolstack else "no",
        "PLATFORM_MODULES": " ".join(kernel.platform_modules),
        "DISPLAY_MODULES": " ".join(module.stem for module in display_modules),
    }
    contents = guest_image.Contents(
        settings, modules + display_modules,
        spec.run or STATUS_COMMAND[spec.xen and spec.toolstack], spec.add)
    packages = package_folder.of(cache, spec.processor)
    if spec.xen:
        files.xen.write_bytes(processor.hypervisor(packages.root))
    if spec.system:
        image = guest_image.build_system(packages, processor, contents)
    elif spec.xen:
        domu = None
        if spec.has_domu:
            domu = guest_image.DomU(
                guest_arguments.domu_configuration(spec, spec.domu_mem or kernel.domu_memory),
                files.kernel,
                guest_image.build_domu(packages, processor, guest_image.Contents(
                    settings, modules, spec.domu_run, spec.domu_add)),
                spec.domu == GuestType.HVM)
        image = guest_image.build_dom0(packages, processor, contents, domu)
    else:
        image = guest_image.build_without_xen(packages, processor, contents)
    files.initramfs.write_bytes(image)
    return files


def _modules(kernel: GuestKernel, spec: Spec) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """The modules that all guests get, and those that a display takes in the order in which they
    are loaded: none if there is no display, because they would only make the images larger."""
    modules = kernel.modules
    wanted = spec.gntdev.module
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
        others = [changed if module.name == f"{Driver.C.module}.ko" else module
                  for module in others]
    return others, display if spec.display else []


def _next_log(folder: pathlib.Path) -> pathlib.Path:
    """A new log file; the oldest ones make room, and the pictures beside them."""
    numbers: dict[int, list[pathlib.Path]] = {}
    for path in folder.iterdir():
        match = LOG_NAME.fullmatch(path.name)
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
