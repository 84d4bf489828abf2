# SPDX-License-Identifier: GPL-2.0
"""Boot real Xen in QEMU, with a dom0 and maybe a domU, and run a command there."""

import argparse
import contextlib
import os
import shlex
import signal
import sys

from xenrust import build_root, guest_root, kernel
from xenrust.cache import Cache
from xenrust.failure import Failure
from xenrust.processor import Processor

from .. import architecture, guest_kernel
from ..architecture.base import DEFAULT_MEMORY, DOM0_MEMORY
from ..boot import KEPT_LOGS, MACHINE_DIED, Result, boot
from ..choices import Driver, EventOperations, GuestType
from ..ending import BootEnd
from ..limits import BootLimits
from ..spec import Addition, Spec
from ..terminal import Terminal

DEFAULT_LIMIT = 300.0

DETAILS = """\
The boot: Xen starts, then dom0 with xenstored, xenconsoled and xl, and the gntdev module
that --gntdev names; then the domU, if any, with the same kernel and modules. When the domU is
up, CMD runs in dom0 by /bin/sh as root, in /root, and its output is standard output, byte for
byte and as it comes. When CMD ends, the machine is switched off.

Logs: the consoles of Xen, dom0 and domU go to the log, each line with the seconds since the
start and its source, and so does the output of CMD. Steps and messages go to standard error.

In the guests, $DOMU is the domU's id, $DOM0_TYPE and $DOMU_TYPE are pv, pvh or none, $GNTDEV is
rust or c, $EVENTS is rust, c or 2-level. All modules of the kernel are in /lib/modules, those of
the display only in dom0 with --display. The domU writes the status with which its command ended to
its own xenstore key data/status.

With --display, CMD can save the picture on the screen: "take-screen NAME" returns when it is in a
PNG file beside the log, whose place is shown at the end.

exit status: that of CMD, and
  124  CMD had not ended when the time was up
  125  something could not be built or started, or the machine or the emulator died; the last
       lines of the log are shown if there is one

The emulator's own deaths: QEMU's emulation of hardware virtualization now and then kills a PVH
guest (a triple fault, a double fault in the kernel's entry code, a hang before init). If nothing
indicates another cause, boot reports it and starts again, at most twice.

examples:
  qemu-test/boot --run 'xl info'
  qemu-test/boot --dom0 pvh --domu pvh --add my-program --run 'my-program $DOMU'
  qemu-test/boot --domu pv --add read.sh --run read.sh --domu-add write.sh --domu-run write.sh
  qemu-test/boot --gntdev c --add old.bin --add data:/srv/data --run 'old.bin /srv/data'
  qemu-test/boot --dom0 pvh --domu pvh --shell
  qemu-test/boot --kernel debian --dom0 pvh --run 'uname -a; lsmod'
  qemu-test/boot --display --add draw --run 'draw /dev/dri/card0 & sleep 1; take-screen drawn'
"""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="qemu-test/boot", description=__doc__, epilog=DETAILS,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--arch", choices=[*map(str, Processor)], default=str(Processor.X86_64),
        help="processor of the machine; arm64 takes --kernel (default: %(default)s)")
    add("--dom0", choices=("pv", "pvh"),
        help="type of dom0 (default: pv, and on arm64 pvh, which is the only type of all domains "
             "there)")
    add("--domu", choices=("none", "pv", "pvh", "hvm"), default="none",
        help="type of the domU; an hvm one has firmware and devices that QEMU emulates in dom0 "
             "(default: %(default)s)")
    add("--gntdev", choices=[*map(str, Driver)], default="rust",
        help="the driver behind /dev/xen/gntdev in both guests (default: %(default)s)")
    add("--events", choices=[*map(str, EventOperations)], default="rust",
        help="the port operations of event channels in both guests: rust and c are for the FIFO "
             "ABI (default: %(default)s)")
    add("--config", choices=kernel.BOOTED, default="dom0",
        help="which kernel, one of qemu-test/configs (default: %(default)s)")
    add("--kernel", metavar="KERNEL",
        help="instead of --config, an unmodified kernel of Debian's with the module built for it: "
             "'debian' for the newest one of trixie-backports, the start of a version, or a "
             "release as 'uname -r' prints it")
    add("--no-xen", action="store_true",
        help="boot the kernel alone and run CMD there: no Xen, no domains, no toolstack")
    add("--no-toolstack", action="store_true",
        help="start neither xenstored nor xenconsoled, which keep /dev/xen/gntdev open: CMD can "
             "unload the driver, and there is no xl")
    add("--display", action="store_true",
        help="add a graphics card, which is /dev/dri/card0 in dom0; it opens no window")
    add("--smp", type=_positive, default=2, metavar="N",
        help="processors of the machine (default: %(default)s)")
    add("--dom0-vcpus", type=_positive, metavar="N",
        help="virtual processors of dom0 (default: as many as the machine has)")
    add("--domu-vcpus", type=_positive, default=1, metavar="N",
        help="virtual processors of the domU (default: %(default)s)")
    add("--mem", type=_positive, metavar="MIB",
        help=f"memory of the machine in MiB (default: {DEFAULT_MEMORY}); "
             f"dom0 gets {DOM0_MEMORY} of it")
    add("--domu-mem", type=_positive, metavar="MIB",
        help="memory of the domU in MiB (default: 128, with --kernel 256)")
    add("--add", type=_addition, action="append", default=[], metavar="SRC[:DEST]",
        help="copy the file or folder SRC into dom0, and the libraries that its programs need; "
             "DEST is a path there, or a folder if it ends in /. Default: /usr/local/bin/NAME "
             "for an executable file (CMD finds it by name), else /root/NAME")
    add("--run", metavar="CMD", help="command for dom0 (default: a look at the guests)")
    add("--domu-add", type=_addition, action="append", default=[], metavar="SRC[:DEST]",
        help="the same as --add, for the domU")
    add("--domu-run", metavar="CMD",
        help="command for the domU, which runs once it is up, beside dom0's; its output goes to "
             "the domU's console, that is, to the log")
    add("--cmdline", default="", metavar="ARGS", help="further arguments for dom0's kernel")
    add("--domu-cmdline", default="", metavar="ARGS",
        help="further arguments for the domU's kernel")
    add("--xen-cmdline", default="", metavar="ARGS", help="further arguments for Xen")
    add("--timeout", type=float, metavar="S",
        help="end after S seconds, counted from the emulator's start without the time that it "
             f"waits for a processor (default: {DEFAULT_LIMIT:g}; none with --shell)")
    add("--log", metavar="FILE", help="file of the log (default: one in the cache's log folder, "
                                      f"which keeps the last {KEPT_LOGS})")
    add("--shell", action="store_true",
        help="an interactive shell in dom0 on this terminal instead of CMD; 'exit' or Ctrl-^ "
             "ends it, 'xl console domU' leads to one in the domU")
    options = parser.parse_args()
    if options.kernel:
        options.config = guest_kernel.debian_config(options.kernel)
    processor = architecture.of(Processor(options.arch))
    options.dom0 = options.dom0 or str(processor.dom0_types[0])
    if options.dom0 not in processor.dom0_types:
        parser.error(f"on {processor.title} there is no {options.dom0} dom0")
    if options.domu not in (GuestType.NONE, *processor.domu_types):
        parser.error(f"on {processor.title} there is no {options.domu} domU")
    if options.shell and options.run:
        parser.error("--shell takes the place of --run")
    if options.shell and not sys.stdin.isatty():
        parser.error("--shell needs a terminal on standard input")
    if options.no_xen and options.domu != "none":
        parser.error("--no-xen has no domU")
    if options.no_toolstack and options.domu != "none":
        parser.error("--no-toolstack has no domU")
    if options.domu == "none" and (options.domu_run or options.domu_add):
        parser.error("--domu-run and --domu-add need a domU: --domu pv, pvh or hvm")
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _addition(text: str) -> Addition:
    """SRC[:DEST]; DEST is absolute, so a colon in SRC does no harm."""
    source, colon, place = text.rpartition(":/")
    return (source, "/" + place) if colon else (text, None)


def make_spec(options: argparse.Namespace) -> Spec:
    """The boot that the command line asks for."""
    total = options.timeout or (None if options.shell else DEFAULT_LIMIT)
    return Spec(
        processor=Processor(options.arch), dom0=GuestType(options.dom0),
        domu=GuestType(options.domu), gntdev=Driver(options.gntdev),
        events=EventOperations(options.events), config=options.config, xen=not options.no_xen,
        toolstack=not options.no_toolstack, smp=options.smp, dom0_vcpus=options.dom0_vcpus,
        domu_vcpus=options.domu_vcpus, mem=options.mem, domu_mem=options.domu_mem,
        add=tuple(options.add), run=options.run, domu_add=tuple(options.domu_add),
        domu_run=options.domu_run, cmdline=options.cmdline, domu_cmdline=options.domu_cmdline,
        xen_cmdline=options.xen_cmdline, limits=BootLimits(total), log=options.log,
        shell=options.shell, display=options.display)


def main() -> int:
    """Boot as the command line says and return the exit status."""
    spec = make_spec(parse_arguments())
    try:
        cache = Cache()
        build_root.ensure(cache)
        guest_root.ensure(cache, spec.processor)
        guest_kernel.ensure(cache, spec.config, spec.processor)
        say(spec.describe())
        with Terminal() if spec.shell else contextlib.nullcontext() as terminal:
            result = boot(spec, write_output, say, terminal)
    except Failure as error:
        print(f"boot: {error}", file=sys.stderr)
        return MACHINE_DIED
    report(spec, result)
    return result.status


def write_output(chunk: bytes) -> None:
    """Pass the command's output on."""
    try:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has gone, as in "boot ... | head". Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def say(text: str) -> None:
    """Print a message for the person who waits."""
    # A raw terminal needs the carriage return.
    print(f"boot: {text}", end="\r\n" if sys.stderr.isatty() else "\n", file=sys.stderr)


def report(spec: Spec, result: Result) -> None:
    """Tell the end of the boot."""
    if result.end in (BootEnd.EXIT, BootEnd.LEFT):
        for name, path in result.screen_files.items():
            say(f"screen {name}: {path}")
        say(f"{result.seconds:.1f} s in all; log {result.log}")
        return
    for line in result.last_lines():
        print(f"    {line}", file=sys.stderr)
    has_hung = result.end == BootEnd.TIMEOUT
    event = "the command did not end" if has_hung else "the machine died"
    command = f" ({shlex.quote(spec.run)})" if spec.run and has_hung else ""
    say(f"{event}{command}: {result.reason}; log {result.log}")
