# SPDX-License-Identifier: GPL-2.0
"""Measure the Rust drivers beside the C ones and print the tables."""

import argparse
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from xenrust import build_root, c_driver, guest, kernel
from xenrust.cache import Cache

from .. import bench_table
from ..boot import boot
from ..choices import Driver, EventOperations, GuestType
from ..limits import BootLimits
from ..spec import Addition, Spec

EPILOG = """\
drivers: One boot for each type of dom0, without the toolstack, which would keep the device open. In
each round both drivers are loaded in turn and measured, so that other load on the machine affects
both. The grants are dom0's own. Importing a dma-buf grants its pages, which needs no hypercall.
Linux's C driver cannot export them, and a PVH dom0 cannot map them.

export: Exports of a PVH domU's grants in a PVH dom0. The C driver is one that is built from a copy
of the kernel's, in the cache, without the one flag that keeps it from exporting on x86. The daemons
that a domU needs keep the device, so each driver has boots of its own, in turn: two for a round, of
about half a minute each. In each boot every line is measured several times; the median counts.

display: A PV dom0 with a graphics card shows a frame of 640x480 pixels that lies in pages of its
own, which it granted: as a dma-buf, which is exported, imported by the card, shown and released; as
a dma-buf that was exported and imported once for all frames, as a front end's buffers are; and
copied by one call to memory that the card has imported before, and shown. The time for showing is
the processor's, without the wait for the next frame of the screen. QEMU's card copies each picture
that it shows.

events: A dom0 of one processor, without the toolstack, sends events to itself, so that no other
domain takes part of the time. The port operations are chosen when a kernel boots, so each has boots
of its own of the same image, in turn: two for a round. In each boot every line is measured several
times; the median counts.

attacked: The round trip of an event from a PV dom0 of two processors to a domU of one and back,
while another domU of two does nothing, is busy with hypercalls from which no event comes, or sends
events on 960 ports, closes and binds them without a pause, which a program in dom0 serves. In each
round all three are measured, 1000 times each; the port operations have boots of their own, in turn.
The machine has a processor for each of the guests' in this section.

clock: The machine is emulated, and other work of the host affects its clock: ratios of times by it
are up to a fifth too large or too small, also on an idle host. By default the emulator therefore
derives the clock from the instructions that its one processor executes, in the kernel, in Xen and
in the program: a nanosecond each, and no time without work. This measures the work of one call, and
is repeatable; it does not include the cost of caches, locked instructions and traps on a real
processor. With --clock host the times are those of the host.

The tables show the median over the rounds for each driver, and the median, least and greatest of
the rounds' ratios. A ratio is the Rust driver's time in one round divided by that of the C driver
in the same round, except for the lines that compare the Rust driver with itself. "inside" is the
part of the Rust driver's time that it spends in the kernel's grant table functions, that is, in the
hypercall, measured by trace events in separate runs.

The exit status is 0 if everything could be measured, at any speed.
"""

CLOCKS = ("instructions", "host")

OPERATIONS = (EventOperations.C, EventOperations.RUST)

# Section attacked: rounds in a boot, the programs that run in both domUs, and their memory, which
# the interrupts of a thousand ports take.
ROUNDS_IN_A_BOOT = 3
ATTACKED_PROGRAMS = ("agent", "event-peer")
ATTACKED_MEMORY = 256


def with_clock(spec: Spec, clock: str) -> Spec:
    """SPEC with the machine's CLOCK. The clock of instructions advances while any processor works,
    so the machine gets one processor."""
    return dataclasses.replace(spec, smp=1, instruction_clock=True) if clock == CLOCKS[0] else spec


def main() -> int:
    """Measure what the command line says and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="qemu-test/bench", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--section", choices=SECTIONS, action="append", default=[],
                        help="measure only this; may be given several times (default: all)")
    parser.add_argument("--rounds", type=int, default=9, metavar="N",
                        help="number of rounds within one boot (default: %(default)s)")
    parser.add_argument("--export-rounds", type=int, default=7, metavar="N",
                        help="boots of both drivers for section export (default: %(default)s)")
    parser.add_argument("--dom0", choices=("pv", "pvh"), action="append", default=[],
                        help="type of dom0 for the sections drivers and events; may be given "
                             "twice (default: both)")
    parser.add_argument("--event-rounds", type=int, default=7, metavar="N",
                        help="boots of both port operations for section events (default: "
                             "%(default)s)")
    parser.add_argument("--attacked-rounds", type=int, default=5, metavar="N",
                        help="boots of both port operations for section attacked (default: "
                             "%(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="instructions",
                        help="clock of the machine (default: %(default)s)")
    options = parser.parse_args()
    if min(options.rounds, options.export_rounds, options.event_rounds,
           options.attacked_rounds) < 1:
        parser.error("there is at least 1 round")

    cache = Cache()
    build_root.ensure(cache)
    kernel.ensure(cache, "dom0")
    programs = guest.ensure(cache)
    status = 0
    for name, measure in SECTIONS.items():
        if not options.section or name in options.section:
            status |= measure(cache, programs, options)
    return status


def dom0_types(options: argparse.Namespace) -> list[GuestType]:
    """The types of dom0 that the command line names; both if it names none."""
    return [GuestType(name) for name in options.dom0 or ("pv", "pvh")]


def measure_drivers(_cache: Cache, programs: pathlib.Path, options: argparse.Namespace) -> int:
    """Measure section drivers."""
    status = 0
    for dom0 in dom0_types(options):
        spec = with_clock(Spec(
            dom0=dom0, toolstack=False, add=program(programs, "gntdev-bench"),
            run=f"gntdev-bench drivers {options.rounds}",
            limits=BootLimits(120 + 90 * options.rounds)), options.clock)
        say(f"{spec.describe()} and C gntdev in turn, {options.rounds} rounds")
        output = run(spec)
        if output is None:
            status = 1
        else:
            show(f"{dom0.upper()} dom0, {options.rounds} rounds", output, bench_table.DRIVERS)
    return status


def measure_exports(cache: Cache, programs: pathlib.Path, options: argparse.Namespace) -> int:
    """Measure section export."""
    module = str(c_driver.ensure(cache))

    def spec_of(gntdev: Driver) -> Spec:
        return with_clock(Spec(
            dom0=GuestType.PVH, domu=GuestType.PVH, gntdev=gntdev,
            c_module=module if gntdev == Driver.C else None,
            add=program(programs, "gntdev-bench"), run="gntdev-bench exports",
            domu_add=program(programs, "granter"), domu_run="granter", end_at_death=True),
            options.clock)

    output = run_in_turn("exports", options.export_rounds, (Driver.C, Driver.RUST), spec_of)
    if output is None:
        return 1
    show(f"exports of a PVH domU's grants in a PVH dom0, {options.export_rounds} rounds, the C "
         "driver changed so that it can export", output, bench_table.EXPORTS)
    return 0


def measure_display(_cache: Cache, programs: pathlib.Path, options: argparse.Namespace) -> int:
    """Measure section display."""
    spec = with_clock(Spec(
        toolstack=False, display=True, add=program(programs, "gntdev-bench"),
        run=f"gntdev-bench display {options.rounds}",
        limits=BootLimits(120 + 30 * options.rounds)), options.clock)
    say(f"{spec.describe()}, {options.rounds} rounds")
    output = run(spec)
    if output is None:
        return 1
    show(f"a frame on the screen of a PV dom0, {options.rounds} rounds", output,
         bench_table.DISPLAY)
    return 0


def measure_events(_cache: Cache, programs: pathlib.Path, options: argparse.Namespace) -> int:
    """Measure section events."""
    for dom0 in dom0_types(options):
        machine = with_clock(Spec(
            dom0=dom0, dom0_vcpus=1, toolstack=False, add=program(programs, "gntdev-bench"),
            run="gntdev-bench events"), options.clock)
        output = run_in_turn("events", options.event_rounds, OPERATIONS,
                             functools.partial(_with_operations, machine))
        if output is None:
            return 1
        show(f"events in a {dom0.upper()} dom0 of one processor, {options.event_rounds} rounds",
             output, bench_table.EVENTS)
    return 0


def measure_attacked(_cache: Cache, programs: pathlib.Path, options: argparse.Namespace) -> int:
    """Measure section attacked."""
    machine = dataclasses.replace(with_clock(Spec(
        domu=GuestType.PV, dom0_vcpus=2, add=program(programs, "gntdev-bench"),
        run=f"gntdev-bench attacked {ROUNDS_IN_A_BOOT}",
        domu_add=tuple((str(programs / name), None) for name in ATTACKED_PROGRAMS),
        domu_run="agent", domu_mem=ATTACKED_MEMORY, limits=BootLimits(1800)),
        options.clock), smp=5)
    output = run_in_turn("attacked", options.attacked_rounds, OPERATIONS,
                         functools.partial(_with_operations, machine))
    if output is None:
        return 1
    show(f"events to a domU while another one attacks, {options.attacked_rounds} boots of "
         f"{ROUNDS_IN_A_BOOT} rounds", output, bench_table.ATTACKED)
    return 0


def _with_operations(machine: Spec, events: EventOperations) -> Spec:
    return dataclasses.replace(machine, events=events)


One = TypeVar("One")
Section = Callable[[Cache, pathlib.Path, argparse.Namespace], int]
SECTIONS: dict[str, Section] = {
    "drivers": measure_drivers, "export": measure_exports, "display": measure_display,
    "events": measure_events, "attacked": measure_attacked}


def run_in_turn(title: str, rounds: int, pair: tuple[One, One],
                spec_of: Callable[[One], Spec]) -> str | None:
    """Boot the machines of both of PAIR in each of the ROUNDS, and return the output of all, or
    None if one did not work. Their order alternates between rounds, so that neither gains by it."""
    outputs = []
    for number in range(rounds):
        say(f"{title}, round {number + 1} of {rounds}")
        for one in reversed(pair) if number % 2 else pair:
            spec = spec_of(one)
            say(spec.describe())
            output = run(spec)
            if output is None:
                return None
            outputs.append(output)
    return "".join(outputs)


def program(folder: pathlib.Path, name: str) -> tuple[Addition, ...]:
    """One file to add to a guest."""
    return ((str(folder / name), None),)


def run(spec: Spec) -> str | None:
    """Boot and return the output of the command, or None if that did not work."""
    result = boot(spec, on_progress=say)
    if result.status:
        for line in result.last_lines():
            say(f"    {line}")
        say(f"this did not work: {result.reason}; log {result.log}")
        return None
    say(f"{result.seconds:.0f} s; log {result.log}")
    return result.stdout.decode()


def show(title: str, output: str, names: Sequence[str]) -> None:
    """Print the table of the lines NAMES."""
    measured = bench_table.parse(output, names)
    print(f"\n{title}")
    print("\n".join(bench_table.table(measured)), flush=True)


def say(text: str) -> None:
    """Print a message for the person who waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
